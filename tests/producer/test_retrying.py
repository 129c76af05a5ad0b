"""producer.retrying, against a real server: which rows are sent again, and what else happens."""

import base64
import json
import socket
from uuid import uuid4

import pytest
import redis

from common.errors import OverwrittenRun, UsageError
from common.planning import dependents
from common.planning.dependents import create_dependents
from common.planning.sharding import messages_for
from common.settings import Settings
from common.store import RunFolder, list_runs, merge_run, missing_rows
from common.store.retries import latest_attempt
from common.store.withdrawal import withdraw
from producer.prepare import prepare
from producer.publish import check_broker
from producer.retrying import retry_run
from tests.common.stepkit import (
    finish_paraphrases,
    make,
    paraphrase,
    plan,
    put_paraphrases,
    questions,
)
from tests.common.storekit import put_part


@pytest.fixture
def settings(broker_url, tmp_path):
    return Settings(
        broker=broker_url, namespace=f"test-{uuid4().hex[:12]}", store=str(tmp_path / "store")
    )


@pytest.fixture
def merged(ask, store):
    """Eleven rows: 2 and 7 failed of a worker's fault, 3 of its own."""
    (run,) = prepare(ask(), store).runs
    put_part(run, range(6), failed=[2], by_sample=[3])
    put_part(run, range(6, 11), failed=[7])
    merge_run(run)
    return run


def rows_sent(settings):
    """Rows of the messages on the queue, oldest first."""
    raw = redis.Redis.from_url(settings.broker).lrange(f"{settings.namespace}:model.other", 0, -1)
    bodies = [json.loads(base64.b64decode(json.loads(text)["body"])) for text in reversed(raw)]
    return [
        [row for first, stop in named["rows"] for row in range(first, stop)]
        for _, named, _ in bodies
    ]


def text_of(retried):
    return "\n".join(retried.lines())


def test_rows_that_failed_of_a_workers_fault_are_sent_and_the_others_are_not(merged, settings):
    retried = retry_run(settings, merged)
    assert rows_sent(settings) == [[2, 7]]
    assert (retried.withdrawn, retried.sent, retried.left) == (2, 2, 1)
    assert text_of(retried) == f"{merged.key}: failed rows that are answered again: 2"


def test_all_that_failed_is_sent_if_asked_for(merged, settings):
    assert retry_run(settings, merged, every=True).withdrawn == 3
    assert rows_sent(settings) == [[2, 3, 7]]


def test_a_run_with_nothing_to_retry_says_so_and_sends_nothing(ask, store, settings):
    (run,) = prepare(ask(), store).runs
    put_part(run, range(11))
    retried = retry_run(settings, run)
    assert (retried.withdrawn, retried.sent, rows_sent(settings)) == (0, 0, [])
    assert text_of(retried) == f"{run.key}: nothing to retry, no row failed"


def test_a_run_that_failed_of_its_own_fault_alone_says_how_to_answer_it_again(
    ask, store, settings
):
    (run,) = prepare(ask(), store).runs
    put_part(run, range(11), by_sample=[3, 4])
    text = text_of(retry_run(settings, run))
    assert "at fault itself (too long, empty; rows: 2); --all" in text


def test_the_counters_begin_with_what_is_left_and_a_stop_is_lifted(merged, settings):
    counters = check_broker(settings)
    counters.reset(str(merged.key), range(11))
    counters.stop(str(merged.key), "device lost")
    retry_run(settings, merged)
    assert counters.stop_reason(str(merged.key)) is None
    assert counters.mark_done(str(merged.key), []) == 9


def test_what_is_missing_of_a_run_that_is_not_complete_is_sent_as_well(ask, store, settings):
    (run,) = prepare(ask(), store).runs
    put_part(run, range(6), failed=[2], by_sample=[3])
    retried = retry_run(settings, run)
    assert sorted(row for rows in rows_sent(settings) for row in rows) == [2, 6, 7, 8, 9, 10]
    assert text_of(retried).splitlines() == [
        f"{run.key}: failed rows that are answered again: 1",
        f"{run.key}: other rows that are missing, and sent: 5",
    ]


def test_a_second_retry_before_the_first_is_answered_sends_the_same_rows(merged, settings):
    retry_run(settings, merged)
    retried = retry_run(settings, merged)
    assert (retried.withdrawn, retried.sent) == (0, 2)
    assert text_of(retried) == f"{merged.key}: other rows that are missing, and sent: 2"
    assert rows_sent(settings) == [[2, 7], [2, 7]]
    assert latest_attempt(merged) == 2


def test_enqueueing_goes_on_where_a_retry_was_killed_before_it_sent(ask, store, merged):
    withdraw(merged)
    (message,) = prepare(ask(), store).messages
    assert message.row_numbers() == [2, 7]


def test_a_broker_that_is_down_is_said_before_anything_is_withdrawn(merged, settings):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        down = f"redis://127.0.0.1:{probe.getsockname()[1]}/0"
    with pytest.raises(UsageError, match="does not answer"):
        retry_run(settings.model_copy(update={"broker": down}), merged)
    assert (latest_attempt(merged), missing_rows(merged).tolist()) == (1, [])


def test_a_run_that_was_overwritten_since_is_not_retried(ask, store, merged, settings):
    old = RunFolder(store, merged.key)
    assert old.record.key == str(merged.key)
    (new,) = prepare(ask(overwrite=True), store).runs
    with pytest.raises(OverwrittenRun):
        retry_run(settings, old)
    assert rows_sent(settings) == []
    assert latest_attempt(new) == 1


@pytest.fixture
def written(store):
    """Merged paraphrases of seven questions, with two dependents made from them."""
    (run,) = make(store, plan("paraphrases", [plan("avg"), plan("max")]), samples=questions(7))
    finish_paraphrases(run, failed=[3])
    create_dependents(run)
    return run


def test_a_retry_says_which_runs_were_made_of_the_old_result_and_changes_none(
    store, settings, written
):
    avg, most = (run for run in list_runs(store) if run.key != written.key)
    put_part(avg, range(7))
    records = [run.record for run in (avg, most)]
    retried = retry_run(settings, written, every=True)
    assert retried.dependents == (str(avg.key), str(most.key))
    assert f"{avg.key}, {most.key}: made from the result of {written.key}" in text_of(retried)
    assert "--overwrite" in text_of(retried)
    assert create_dependents(written) == []
    put_paraphrases(written, [3], attempt=2)
    assert create_dependents(written) == [avg, most]
    assert [RunFolder(store, run.key).record for run in (avg, most)] == records


def test_a_dependent_that_is_not_there_yet_is_made_of_the_new_result(store, settings, written):
    store.delete(str(plan_key(written, "max-3")))
    retry_run(settings, written, every=True)
    assert create_dependents(written) == []
    put_paraphrases(written, [3], attempt=2)
    most, avg = create_dependents(written)
    assert [run.read_samples([3])[0].paraphrases[1] for run in (avg, most)] == [
        "", paraphrase(3, 1),
    ]  # fmt: skip
    assert [message.runs for message in messages_for([avg, most], 64)] == [
        [str(avg.key)], [str(most.key)],
    ]  # fmt: skip


def test_a_retry_that_comes_while_a_run_is_merged_leaves_its_dependents_for_later(
    written, monkeypatch
):
    """It comes between the look at what is missing and the merge."""
    written.store.delete(written.feather)
    merge = dependents.merge_run

    def overtaken(run):
        withdraw(run, every=True)
        return merge(run)

    monkeypatch.setattr(dependents, "merge_run", overtaken)
    assert create_dependents(written) == []
    assert missing_rows(written).tolist() == [3]


def plan_key(run, name):
    return type(run.key)(run.key.dataset, run.key.model, name)
