"""producer.pace: the time that is left, from the first samples on."""

import pytest

from producer.pace import Pace


@pytest.fixture
def paced():
    """A pace, and what it tells after (second, answered, at work) was noted."""

    def note(*looks):
        now = [0.0]
        pace = Pace(lambda: now[0])
        for second, answered, at_work in looks:
            now[0] = second
            pace.note(answered, at_work)
        return pace

    return note


def test_nothing_is_known_before_the_first_samples(paced):
    assert paced((0, 0, False), (30, 0, True)).rate is None
    assert paced().seconds_left(5) is None


def test_time_counts_from_the_first_work_and_not_from_the_first_look(paced):
    pace = paced((0, 0, False), (40, 0, True), (42, 4, True))
    assert (pace.rate, pace.seconds_left(20)) == (2.0, 10.0)


def test_what_was_answered_before_counts_for_nothing(paced):
    assert paced((0, 900, True), (2, 904, True)).rate == 2.0


def test_where_only_whole_shards_are_seen_it_is_known_from_the_second_on(paced):
    assert paced((0, 0, False), (40, 64, False)).rate is None
    assert paced((0, 0, False), (40, 64, False), (50, 128, False)).rate == 6.4
