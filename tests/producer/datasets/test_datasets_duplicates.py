"""producer.datasets.duplicates: two questions with one uuid, far apart, in little memory."""

import tracemalloc

import pytest

from common.errors import UsageError
from common.prompts import QUESTION_ANSWERING
from producer.datasets.dataset import Dataset
from producer.datasets.duplicates import RepeatedUuids, refuse_duplicates
from producer.datasets.question_files import Question, Skipped
from producer.datasets.stream import SampleStream


def source_of(uuids):
    def questions():
        for number, uuid in enumerate(uuids):
            yield Skipped("odd") if uuid is None else Question(f"q{number}?", ("a",), uuid, ())

    return Dataset("quiz", QUESTION_ANSWERING, questions, lambda _: [], 0, "")


def test_uuids_that_differ_are_no_suspects():
    uuids = RepeatedUuids()
    for number in range(10_000):
        uuids.add(f"u-{number}")
    assert uuids.repeated_hashes() == set()


@pytest.mark.parametrize("count", [0, 1])
def test_few_uuids_are_no_suspects(count):
    uuids = RepeatedUuids()
    for number in range(count):
        uuids.add(str(number))
    assert uuids.repeated_hashes() == set()


def test_a_pair_is_found_however_far_apart():
    uuids = ["a", *(f"u-{i}" for i in range(5000)), "a", "u-7"]
    with pytest.raises(UsageError, match=r"quiz, question 5002: .* 'a' is that of question 1 too"):
        list(SampleStream(source_of(uuids), None, None))


def test_rows_that_are_skipped_are_not_compared():
    reading = SampleStream(source_of(["a", None, None, "b"]), None, None)
    assert [sample.uuid for sample in reading] == ["a", "b"]
    assert reading.notes == ("2 of 4 rows skipped: odd",)


def test_what_lies_behind_the_limit_is_not_read():
    assert len(list(SampleStream(source_of(["a", "b", "a"]), None, 2))) == 2


def test_two_uuids_that_share_a_hash_are_not_refused():
    """A suspicion is not a proof: the questions themselves decide."""
    questions = (Question("q?", ("a",), uuid, ()) for uuid in ("a", "b"))
    refuse_duplicates(questions, {hash("a"), hash("b")})


def test_a_hundred_thousand_uuids_take_about_two_megabytes():
    texts = [f"u-{number}" for number in range(100_000)]
    tracemalloc.start()
    try:
        uuids = RepeatedUuids()
        for text in texts:
            uuids.add(text)
        assert uuids.repeated_hashes() == set()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2_500_000
