"""Whatever a shard raises ends in a verdict, or the shard goes back to its queue."""

import pickle
from contextlib import suppress
from types import SimpleNamespace

import pytest
import redis
from billiard.einfo import ExceptionInfo
from billiard.exceptions import SoftTimeLimitExceeded
from celery.canvas import Signature
from celery.exceptions import Reject, Retry
from celery.worker.request import Request
from kombu.exceptions import OperationalError

from common.errors import RetryShard, StopRun
from common.run_counters import RunCounters
from worker import tasks
from worker.bisect import Bisector
from worker.engine.outputs import EngineOutput
from worker.engine.request import nobody_listens
from worker.engine.stats import EngineStats
from worker.main_process import own_faults
from worker.main_process.own_faults import CountedRequest, GivenBack, OwnFaults, PutBack


class PanicException(BaseException):
    """What a library written in Rust raises; no Exception."""


class Shard:
    """A shard of a run whose executor raises an error, and what the task makes of it."""

    def __init__(self, executor, run, monkeypatch):
        self.executor, self._patch = executor, monkeypatch
        self.run = str(run.key)
        monkeypatch.setattr(tasks, "executor", lambda: executor)
        monkeypatch.setattr(tasks, "counters", lambda: executor.counters)

    def answered(self, error):
        def fails(_):
            raise error

        self._patch.setattr(self.executor, "execute", fails)
        tasks.answer_shard.push_request(
            called_directly=False, id="an id", args=[], kwargs={}, retries=0,
            delivery_info={"exchange": "", "routing_key": "model.other"},
        )  # fmt: skip
        try:
            with suppress(StopRun):
                tasks.answer_shard.run([self.run], [[0, 3]])
        finally:
            tasks.answer_shard.pop_request()

    def stopped(self):
        return self.executor.counters.stop_reason(self.run)


@pytest.fixture
def shard(executor, make_runs, monkeypatch):
    return Shard(executor, make_runs(methods=("avg",)).runs[0], monkeypatch)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (SystemExit(2), "StrayExit: SystemExit: 2"),
        (KeyboardInterrupt(), "StrayExit: KeyboardInterrupt"),
        (PanicException("index out of bounds"), "StrayExit: PanicException: index out of bounds"),
        (GeneratorExit(), "StrayExit: GeneratorExit"),
        (SoftTimeLimitExceeded(60), "SoftTimeLimitExceeded"),
        (RecursionError("maximum depth"), "RecursionError: maximum depth"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_the_run_stops_whatever_kind_of_exception_a_library_raises(shard, error, said):
    shard.answered(error)
    assert f"a worker failed: {said}" in shard.stopped()


def test_a_process_that_was_told_to_end_ends_and_stops_nothing(shard, monkeypatch):
    monkeypatch.setattr("worker.stray_exits.terminate_handler_fired", lambda: True)
    with pytest.raises(SystemExit):
        shard.answered(SystemExit(1))
    assert shard.stopped() is None


def test_a_host_without_memory_gives_the_shard_back(shard):
    """Celery itself would end the worker's main process over it."""
    with pytest.raises(Reject) as verdict:
        shard.answered(MemoryError())
    assert verdict.value.requeue
    assert shard.stopped() is None


def test_a_library_that_exits_while_a_process_begins_gives_the_shard_back(
    shard, monkeypatch, executor
):
    def exits():
        raise SystemExit("no licence")

    monkeypatch.undo()
    monkeypatch.setattr("worker.model.compile_cache.claim_cache", lambda _: {})
    monkeypatch.setattr(tasks.Settings, "from_environment", exits)
    tasks.executor.cache_clear()
    with pytest.raises(tasks.ReturnShard, match="cannot begin: StrayExit: SystemExit: no licence"):
        tasks.executor()


@pytest.mark.parametrize("error", [StopRun("damaged"), LookupError("not foreseen")])
def test_a_verdict_that_redis_does_not_take_puts_the_shard_back(shard, executor, error):
    executor.counters = RunCounters.connect("redis://127.0.0.1:1/0", "se")
    with pytest.raises(PutBack, match="the broker does not take") as verdict:
        shard.answered(error)
    assert verdict.value.requeue


@pytest.mark.parametrize("error", [OperationalError("away"), redis.ResponseError("OOM")])
def test_a_shard_that_cannot_be_sent_again_is_put_back(shard, monkeypatch, error):
    """Celery rejects it, for good."""

    def unsent(*_, **__):
        raise error

    monkeypatch.setattr(Signature, "apply_async", unsent)
    with pytest.raises(PutBack) as verdict:
        shard.answered(RetryShard("the store is away"))
    assert verdict.value.requeue


def test_an_error_of_redis_itself_is_tried_again_and_stops_nothing(shard, monkeypatch):
    monkeypatch.setattr(Signature, "apply_async", lambda *_, **__: None)
    with pytest.raises(Retry):
        shard.answered(redis.ResponseError("OOM command not allowed"))
    assert shard.stopped() is None


def test_an_error_of_what_judges_errors_gives_the_shard_back(shard, monkeypatch):
    def breaks(*_):
        raise TypeError("not foreseen")

    monkeypatch.setattr(tasks, "_stop", breaks)
    with pytest.raises(Reject, match="no verdict: not foreseen") as verdict:
        shard.answered(StopRun("damaged"))
    assert verdict.value.requeue


@pytest.mark.parametrize(("error", "faults"), [(PutBack("away"), 0), (GivenBack("mine"), 1)])
def test_a_shard_that_redis_made_come_back_is_no_fault_of_the_worker(monkeypatch, error, faults):
    counted = OwnFaults(SimpleNamespace(should_stop=None))
    monkeypatch.setattr(own_faults, "own_faults", counted)
    monkeypatch.setattr(Request, "on_failure", lambda *_, **__: None)
    try:
        raise pickle.loads(pickle.dumps(error))  # As it comes from the child.
    except Reject:
        CountedRequest.__new__(CountedRequest).on_failure(ExceptionInfo())
    assert counted._in_a_row == faults
    assert counted.pausing()


def test_a_sample_that_makes_a_library_panic_costs_one_row():
    class Engine:
        def run(self, samples, request, on_answered):
            if "bad" in samples:
                raise PanicException("index out of bounds")
            return EngineOutput(samples, EngineStats(prefill_tokens=len(samples)))

    bisector = Bisector(Engine(), nobody_listens)
    good, bad, other = bisector.answer(["good", "bad", "other"], None)
    assert (good, other) == ("good", "other")
    assert "PanicException: index out of bounds" in str(bad)
    assert bisector.stats.prefill_tokens == 2, "a call that fails adds nothing"


def test_a_limit_of_time_is_no_error_of_a_sample():
    class Engine:
        def run(self, samples, request, on_answered):
            raise SoftTimeLimitExceeded(60)

    with pytest.raises(SoftTimeLimitExceeded):
        Bisector(Engine(), nobody_listens).answer(["good"], None)
