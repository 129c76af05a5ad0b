"""common.planning.reconcile on a real server: what is lost is sent again, once, and no more."""

import threading
from time import perf_counter

import pytest

from common.messages import ShardMessage
from common.planning import suspicions
from common.planning.reconcile import Reconciler, merge_and_create
from common.planning.reconcile_store import reconcile_enqueued, reconcile_store
from common.resends import MOST_IN_VAIN
from common.store import RunFolder, merge_run, verify_run
from common.store.enqueued import list_enqueued, note_enqueued
from tests.common.flightkit import put_at_worker, put_in_queue
from tests.common.stepkit import finish_paraphrases, make, plan, questions
from tests.common.storekit import make_run, put_part, read_feather

QUEUE = "model.other"
NAMESPACE = "se"


@pytest.fixture(autouse=True)
def _at_once(monkeypatch):
    monkeypatch.setattr(suspicions, "CONFIRM_SECONDS", 0.0)
    monkeypatch.setattr(suspicions, "CONFIRM_MERGE_SECONDS", 0.0)
    monkeypatch.setattr("common.resends._HOLD_SECONDS", 1)


@pytest.fixture
def sent():
    """Each message with its queue, as it was sent."""
    return []


@pytest.fixture
def reconciler(counters, sent):
    return Reconciler(counters, lambda messages, queue: sent.extend((queue, m) for m in messages))


def twice(reconciler, *runs):
    """The verdicts of a second look, by the names of the runs."""
    reconciler.look(runs)
    return {verdict.run.key.name: verdict for verdict in reconciler.look(runs)}


def rows_of(sent):
    return sorted(row for _, message in sent for row in message.row_numbers())


def test_exactly_the_rows_that_nothing_holds_are_sent(store, counters, reconciler, sent):
    run = make_run(store, 10)
    put_part(run, [0, 1])
    put_at_worker(counters, "a", ShardMessage.of([str(run.key)], [2, 3]))
    put_at_worker(counters, "b", ShardMessage.of(["quiz/owner--model/avg-5"], [4]))
    verdict = twice(reconciler, run)["origin"]
    assert rows_of(sent) == [4, 5, 6, 7, 8, 9]
    assert {queue for queue, _ in sent} == {QUEUE}
    assert verdict.sent == 6
    assert verdict.text == "had lost 6 rows: sent again"


def test_one_look_is_not_believed(store, reconciler, sent):
    (verdict,) = reconciler.look([make_run(store, 7)])
    assert verdict.seems_lost
    assert sent == []


def test_what_came_out_of_sight_for_a_moment_only_is_not_sent(store, counters, reconciler, sent):
    run = make_run(store, 7)
    reconciler.look([run])
    put_at_worker(counters, "a", ShardMessage.of([str(run.key)], [0, 1, 2]))
    reconciler.look([run])
    assert rows_of(sent) == [3, 4, 5, 6]


def test_a_run_that_waits_in_its_queue_gets_nothing(store, counters, reconciler, sent):
    run = make_run(store, 7)
    put_in_queue(counters, QUEUE, ShardMessage.of([str(run.key)], range(7)))
    verdict = twice(reconciler, run)["origin"]
    assert sent == []
    assert verdict.text == "waits: 1 message in its queue, 7 rows left"


def test_a_run_that_is_being_worked_on_gets_nothing(store, counters, reconciler, sent):
    run = make_run(store, 7)
    put_part(run, range(4))
    put_at_worker(counters, "a", ShardMessage.of([str(run.key)], range(4, 7)))
    verdict = twice(reconciler, run)["origin"]
    assert sent == []
    assert verdict.text == "is being worked on, 3 rows left"


def test_a_stopped_run_gets_nothing_and_stays_stopped(store, counters, reconciler, sent):
    run = make_run(store, 7)
    counters.stop(str(run.key), "other weights")
    verdict = twice(reconciler, run)["origin"]
    assert sent == []
    assert "other weights" in verdict.text
    assert counters.stop_reason(str(run.key)) == "other weights"


def test_a_complete_run_that_nobody_merged_is_merged(store, reconciler, sent):
    run = make_run(store, 7)
    put_part(run, range(7))
    assert twice(reconciler, run)["origin"].text == "was complete and is merged now"
    assert verify_run(RunFolder(store, run.key)) == []
    assert reconciler.look([run])[0].settled
    assert sent == []


def test_a_run_whose_last_shard_is_in_work_is_left_to_that_worker(store, counters, reconciler):
    run = make_run(store, 7)
    put_part(run, range(7))
    put_at_worker(counters, "a", ShardMessage.of([str(run.key)], [6]))
    assert twice(reconciler, run)["origin"].text == "is complete, its last shard is in work"
    assert not run.is_merged()


def test_a_partial_file_is_made_whole(store, reconciler):
    run = make_run(store, 7)
    put_part(run, range(4))
    merge_run(run, partial=True)
    put_part(run, range(4, 7))
    twice(reconciler, run)
    assert read_feather(run).num_rows == 7


def test_a_run_that_cannot_be_merged_is_stopped_with_the_reason(store, counters, reconciler):
    run = make_run(store, 7)
    store.write_bytes(put_part(run, range(7)), b"no part")
    assert "cannot be merged" in twice(reconciler, run)["origin"].text
    assert "delete it" in counters.stop_reason(str(run.key))


def test_a_damaged_run_hides_no_other(store, reconciler, sent):
    broken, run = make_run(store, 7, name="broken"), make_run(store, 7)
    store.write_bytes(broken.file("run.json"), b"{")
    verdicts = twice(reconciler, broken, run)
    assert "is damaged: " in verdicts["broken"].text
    assert rows_of(sent) == [*range(7)]


def test_a_run_that_cannot_be_read_hides_no_other(store, reconciler, sent, monkeypatch):
    denied, run = make_run(store, 7, name="denied"), make_run(store, 7)
    original = RunFolder.exists

    def exists(self):
        if self.key == denied.key:
            raise PermissionError(13, "Permission denied")
        return original(self)

    monkeypatch.setattr(RunFolder, "exists", exists)
    assert "Permission denied" in twice(reconciler, denied, run)["denied"].text
    assert rows_of(sent) == [*range(7)]


def test_an_overwritten_run_is_looked_at_anew(store, reconciler, sent):
    run = make_run(store, 7)
    reconciler.look([run])
    run.delete()
    anew = make_run(store, 9)
    assert reconciler.look([run])[0].seems_lost
    reconciler.look([anew])
    assert rows_of(sent) == [*range(9)]


def test_runs_that_share_a_prefill_are_sent_in_one_message(store, reconciler, sent):
    layout = {"layout": "concat", "positions": "sequential"}
    shared = [
        make_run(store, 7, name="avg-3", method="avg", num_paraphrases=3),
        make_run(store, 7, name="flex-3", method="flex_attention", num_paraphrases=3, **layout),
    ]
    put_part(shared[0], [0, 1])
    twice(reconciler, *shared)
    assert [(len(m.runs), m.row_numbers()) for _, m in sent] == [(2, [2, 3, 4, 5, 6]), (1, [0, 1])]


def test_dependents_that_nobody_created_are_created_and_sent(store, reconciler, sent):
    """The worker died between the merge and the creation; the list of enqueued runs goes on."""
    (written,) = make(store, plan("paraphrases", [plan("avg")]), samples=questions(5))
    note_enqueued(written, NAMESPACE)
    finish_paraphrases(written)
    merge_run(written)
    for _ in range(5):
        reconcile_enqueued(store, NAMESPACE, reconciler)
    assert rows_of(sent) == [*range(5)]
    assert [run.key.name for run in list_enqueued(store, NAMESPACE)] == ["avg-3"]


def test_of_two_who_look_at_once_one_sends(store, counters):
    """Both have seen the loss; each claims the run before it sends, and the message is seen."""
    run = make_run(store, 100)
    taken, start = [], threading.Barrier(8)

    def send(messages, queue):
        taken.extend(messages)
        for message in messages:
            put_in_queue(counters, queue, message)

    def one():
        mine = Reconciler(counters, send)
        mine.look([run])
        start.wait()
        mine.look([run])
        mine.look([run])

    threads = [threading.Thread(target=one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(row for message in taken for row in message.row_numbers()) == [*range(100)]


def test_rows_that_are_lost_again_and_again_stop_the_run(store, counters, reconciler, monkeypatch):
    run = make_run(store, 7)
    for _ in range(MOST_IN_VAIN):
        assert twice(reconciler, run)["origin"].sent == 7
        counters.client.delete(f"se:resending:{run.key}")
    assert "in vain" in twice(reconciler, run)["origin"].text
    assert f"sent {MOST_IN_VAIN} times" in counters.stop_reason(str(run.key))
    counters.reset(str(run.key), [])
    counters.client.delete(f"se:resending:{run.key}")
    assert twice(reconciler, run)["origin"].sent == 7


def test_rows_that_are_answered_in_between_count_as_progress(store, counters, reconciler):
    run = make_run(store, MOST_IN_VAIN + 3)
    for row in range(MOST_IN_VAIN + 2):
        twice(reconciler, run)
        put_part(run, [row])
        counters.client.delete(f"se:resending:{run.key}")
    assert counters.stop_reason(str(run.key)) is None


def test_an_enqueued_run_is_looked_at_until_it_is_settled(store, counters, reconciler, sent):
    run, other = make_run(store, 7), make_run(store, 7, name="never-enqueued")
    note_enqueued(run, NAMESPACE)
    for _ in range(2):
        verdicts = reconcile_enqueued(store, NAMESPACE, reconciler)
    assert [str(verdict.run.key) for verdict in verdicts] == [str(run.key)]
    assert {name for _, message in sent for name in message.runs} == {str(run.key)}
    put_part(run, range(7))
    for _ in range(3):
        reconcile_enqueued(store, NAMESPACE, reconciler)
    assert list_enqueued(store, NAMESPACE) == []
    assert run.is_merged()
    assert not other.is_merged()


def test_a_deleted_run_is_forgotten(store, reconciler):
    run = make_run(store, 7)
    note_enqueued(run, NAMESPACE)
    run.delete()
    reconcile_enqueued(store, NAMESPACE, reconciler)
    assert list_enqueued(store, NAMESPACE) == []


def test_runs_of_another_namespace_are_none_of_ours(store, reconciler, sent):
    note_enqueued(make_run(store, 7), "theirs")
    assert reconcile_enqueued(store, NAMESPACE, reconciler) == []


def test_a_whole_store_is_looked_through_on_request(store, reconciler, sent):
    run = make_run(store, 7)
    for _ in range(2):
        reconcile_store(store, NAMESPACE, reconciler)
    assert rows_of(sent) == [*range(7)]
    assert [found.key for found in list_enqueued(store, NAMESPACE)] == [run.key]


def test_a_thousand_merged_runs_cost_one_listing(store, counters, reconciler):
    """Each is opened at the first look, and no more afterwards."""
    first = make_run(store, 2)
    put_part(first, range(2))
    merge_and_create(first)
    note_enqueued(first, NAMESPACE)
    reconcile_enqueued(store, NAMESPACE, reconciler)
    started = perf_counter()
    for _ in range(100):
        assert reconcile_enqueued(store, NAMESPACE, reconciler) == []
    assert perf_counter() - started < 2
