"""Shards of a run that is retried: answered anew, whatever else is at work."""

import pyarrow.feather as feather
import pytest

from common.store import list_parts, missing_rows, read_progress, verify_run
from common.store.manifest import read_manifest
from common.store.parts import read_info
from common.store.withdrawal import withdraw
from tests.worker.conftest import shard_of
from worker.engine.engine import Engine

ALL = list(range(7))


def table(run):
    return feather.read_table(run.feather_path)


def errors(run):
    return table(run)["error"].to_pylist()


@pytest.fixture
def no_fours(monkeypatch):
    """The engine raises at question 4 as long as this patch stands; returns the patch."""
    answer = Engine.run

    def answer_but_four(self, samples, *arguments):
        if any("number 4 " in question.paraphrases[1] for question in samples):
            raise RuntimeError("CUDA error: out of memory")
        return answer(self, samples, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Engine, "run", answer_but_four)
        yield patch


@pytest.fixture
def asked(no_fours, monkeypatch):
    """Counts the samples of each call of the engine, and lets question 4 be answered."""
    calls, answer = [], Engine.run

    def watched(self, samples, *arguments):
        calls.append(len(samples))
        return answer(self, samples, *arguments)

    def begin():
        nonlocal answer
        no_fours.undo()
        answer = Engine.run
        monkeypatch.setattr(Engine, "run", watched)
        return calls

    return begin


def test_a_row_that_failed_is_answered_by_another_try_and_the_run_merges_by_itself(
    executor, make_runs, asked
):
    runs = make_runs().runs
    executor.execute(shard_of(runs, ALL))
    assert [errors(run)[-1] for run in runs] == [None] * 3
    assert read_progress(runs[0]).failed == 1
    calls = asked()
    for run in runs:
        assert withdraw(run) == 1
    assert executor.execute(shard_of(runs, [4])) == []
    assert calls == [1]
    for run in runs:
        assert errors(run) == [None] * len(table(run))
        assert (read_progress(run).state, verify_run(run)) == ("merged", [])
        assert (read_manifest(run).tries, read_manifest(run).attempt) == ({"2": 1}, 2)


def test_a_shard_that_was_opened_before_the_retry_does_not_answer_it(executor, make_runs, asked):
    (run,) = make_runs(methods=("avg",)).runs
    executor.execute(shard_of([run], ALL))
    late = shard_of([run], [3, 4])
    asked()
    withdraw(run)
    executor.execute(late)
    assert missing_rows(run).tolist() == [4]
    executor.execute(shard_of([run], [4]))
    assert errors(run) == [None] * 7
    assert verify_run(run) == []
    attempts = [read_info(run, path).attempt for path in list_parts(run)]
    assert sorted(attempts) == [1, 1, 2]


def test_a_message_from_before_the_retry_answers_only_what_is_missing(executor, make_runs, asked):
    """It names all rows of its shard; opened now, the shard is of the new attempt."""
    (run,) = make_runs(methods=("avg",)).runs
    executor.execute(shard_of([run], ALL))
    calls = asked()
    withdraw(run)
    executor.execute(shard_of([run], ALL))
    assert calls == [1]
    assert errors(run) == [None] * 7


def test_the_row_left_of_a_shard_that_kills_its_worker_is_sent_as_a_shard_of_its_own(
    executor, make_runs, no_fours
):
    """Which row it was that killed is not known: others of the shard were answered meanwhile."""
    (run,) = make_runs(methods=("avg",)).runs
    executor.execute(shard_of([run], ALL))
    withdraw(run)
    shard = shard_of([run], [3, 4])
    for _ in range(executor.settings.max_attempts):
        executor.counters.start_attempt(str(run.key), shard.name)
    assert [half.rows for half in executor.execute(shard)] == [(4,)]


def test_a_run_is_retried_while_workers_answer_the_rest_of_it(executor, make_runs, asked):
    (run,) = make_runs(methods=("avg",)).runs
    executor.execute(shard_of([run], [3, 4]))
    at_work = shard_of([run], [0, 1, 2])
    asked()
    assert withdraw(run) == 1
    executor.execute(at_work)
    assert missing_rows(run).tolist() == [4, 5, 6]
    executor.execute(shard_of([run], [4, 5, 6]))
    assert errors(run) == [None] * 7
    assert verify_run(run) == []


def test_a_row_that_kills_its_process_is_tried_again(executor, make_runs):
    (run,) = make_runs(methods=("avg",)).runs
    shard = shard_of([run], [4])
    for _ in range(executor.settings.max_attempts):
        executor.counters.start_attempt(str(run.key), shard.name)
    executor.execute(shard)
    executor.execute(shard_of([run], [0, 1, 2, 3, 5, 6]))
    assert "died 3 times" in errors(run)[4]
    assert withdraw(run) == 1
    executor.counters.reset(str(run.key), [0, 1, 2, 3, 5, 6])
    executor.execute(shard_of([run], [4]))
    assert errors(run) == [None] * 7


def test_a_row_that_fails_again_can_be_retried_again(executor, make_runs, asked):
    (run,) = make_runs(methods=("avg",)).runs
    executor.execute(shard_of([run], ALL))
    withdraw(run)
    executor.execute(shard_of([run], [4]))
    assert read_manifest(run).tries == {"2": 1}
    assert "out of memory" in errors(run)[4]
    asked()
    assert withdraw(run) == 1
    executor.execute(shard_of([run], [4]))
    assert errors(run) == [None] * 7
    assert read_manifest(run).tries == {"3": 1}
