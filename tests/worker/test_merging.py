"""What merging a run leads to: dependents, a verdict on the run, another try, or nothing."""

from pathlib import Path

import pytest
import redis

from common.planning import finishing
from common.planning.dependents import forget_dependents
from common.run_counters import RunCounters
from common.store import RunFolder, StoreFilesystem, merge_run, verify_run
from tests.common.permissions import allowing
from tests.common.stepkit import make, plan, put_paraphrases, questions
from tests.worker.conftest import send_into
from worker.merging import MOST_TRIES, Merger

DEPENDENT = "quiz/owner--model/avg-3"


@pytest.fixture
def counters(settings):
    return RunCounters.connect(settings.broker, settings.namespace)


@pytest.fixture
def complete(settings):
    """A complete run of paraphrases, on which another run depends."""
    store = StoreFilesystem.open(settings.store)
    (run,) = make(store, plan("paraphrases", [plan("avg")]), samples=questions(7))
    put_paraphrases(run, range(7))
    return run


@pytest.fixture
def pauses():
    return []


@pytest.fixture
def merger(complete, counters, sent, pauses):
    return Merger(complete.store, counters, send_into(sent), pauses.append)


@pytest.fixture
def failing(monkeypatch):
    """Have merging raise each of these errors, then succeed."""

    def arrange(*errors):
        left = list(errors)

        def merge(run):
            if left:
                raise left.pop(0)
            return merge_run(run)

        monkeypatch.setattr(finishing, "merge_run", merge)

    return arrange


def test_dependents_are_sent_once_their_run_is_merged(merger, complete, counters, sent):
    sent_when_merged = []
    merger._send = lambda *_: sent_when_merged.append(complete.is_merged())
    assert merger.finish(str(complete.key))
    assert sent_when_merged == [True]
    assert RunFolder(complete.store, complete.key.parse(DEPENDENT)).exists()
    assert verify_run(complete) == []


def test_a_damaged_part_stops_the_run_with_the_reason_and_nothing_is_sent(
    merger, complete, counters, sent
):
    (part,) = complete.store.list(complete.file("parts"))
    complete.store.write_bytes(part, b"damaged")
    assert merger.finish(str(complete.key))
    assert part in counters.stop_reason(str(complete.key))
    assert sent == []
    assert not RunFolder(complete.store, complete.key.parse(DEPENDENT)).exists()


def test_a_store_that_is_away_is_tried_again_and_the_producer_can_see_why(
    merger, complete, counters, sent, pauses, failing
):
    failing(OSError(110, "timed out"), OSError(110, "timed out"))
    assert merger.finish(str(complete.key))
    assert len(pauses) == 2
    assert "timed out" in counters.delayed(str(complete.key))
    assert counters.stop_reason(str(complete.key)) is None
    assert len(sent) == 2


def test_a_store_that_stays_away_is_no_verdict_on_the_run(
    merger, complete, counters, sent, pauses, failing
):
    failing(*[OSError(110, "timed out")] * MOST_TRIES)
    assert not merger.finish(str(complete.key))
    assert len(pauses) == MOST_TRIES - 1
    assert counters.stop_reason(str(complete.key)) is None
    assert sent == []
    assert merger.finish(str(complete.key)), "as somebody does who finds the complete run"
    assert len(sent) == 2


def test_a_broker_that_does_not_take_the_dependents_is_tried_again(
    merger, complete, counters, pauses
):
    taken = []

    def send(messages, _):
        if not pauses:
            raise redis.ConnectionError("refused")
        taken.extend(message.rows for message in messages)

    merger._send = send
    assert merger.finish(str(complete.key))
    assert taken == [[(0, 4)], [(4, 7)]]
    told = counters.delayed(str(complete.key))
    assert told == "the broker does not take the dependent runs: refused"


def test_an_incomplete_run_is_left_as_it_is(merger, complete, counters, sent):
    for part in complete.store.list(complete.file("parts")):
        complete.store.delete(part)
    put_paraphrases(complete, range(6))
    assert merger.finish(str(complete.key))
    assert not complete.is_merged()
    assert counters.stop_reason(str(complete.key)) is None
    assert sent == []


def test_a_run_that_was_deleted_is_no_error_and_stops_nothing(merger, complete, counters, pauses):
    complete.delete()
    forget_dependents(complete)
    assert not merger.finish(str(complete.key))
    assert pauses == []
    assert counters.stop_reason(str(complete.key)) is None
    assert complete.store.list("", recursive=True) == []


def test_an_error_that_nobody_foresaw_stops_the_run_with_its_text(
    merger, complete, counters, failing
):
    failing(LookupError("not foreseen"))
    assert merger.finish(str(complete.key))
    assert "LookupError: not foreseen" in counters.stop_reason(str(complete.key))


def test_a_host_that_may_not_write_to_the_store_leaves_the_run_to_others(
    merger, complete, counters
):
    with allowing(Path(complete.store.root), 0o555):
        assert not merger.finish(str(complete.key))
    assert counters.stop_reason(str(complete.key)) is None


def test_a_run_whose_folder_nobody_may_write_to_stops(merger, complete, counters):
    with allowing(folder_of(complete), 0o555):
        assert merger.finish(str(complete.key))
    assert "change its mode: " in counters.stop_reason(str(complete.key))


def folder_of(run):
    """The folder that holds the merged file."""
    return Path(run.feather_path).parent
