"""Random histories of runs: producers, workers and merges that are late, killed or at fault.

Hypothesis draws histories; after each step nothing that was committed is lost, and what is merged
is right (tests.end_to_end.chaos.claims). In the end every run can be finished.

CHAOS_HISTORIES=5000 draws that many, other ones each time, instead of the few of CI. With NOSHRINK
the first one that fails is shown as it is.
"""

import os
import shutil
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import redis
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from common.errors import UsageError
from common.store import RunFolder, merge_run
from producer.request import RunRequest
from tests.common.diskkit import local_disk, object_store, read_parts_in_turn, watch_local_disk
from tests.common.processkit import Fault, Process
from tests.conftest import numbered_questions, write_questions
from tests.end_to_end.chaos.claims import Claims
from tests.end_to_end.chaos.world import World, without_celery_and_redis

SAMPLES = 5
HISTORIES = int(os.environ.get("CHAOS_HISTORIES", "0"))
PHASES = [Phase.generate, Phase.shrink][: 1 if os.environ.get("NOSHRINK") else 2]

METHODS = st.sampled_from(
    [("origin",), ("avg",), ("per_prompt",), ("origin", "per_prompt"), ("avg", "weighted_avg")]
)
FAULTS = st.one_of(
    st.none(),
    st.builds(Fault, st.just("kill"), st.integers(1, 25)),
    st.builds(Fault, st.just("pause"), st.integers(1, 60)),
    st.builds(Fault, st.just("fail"), st.integers(1, 60)),
)
ANY = st.integers(0, 99)


class Histories(RuleBasedStateMachine):
    """Producers, workers and a person at a store."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="histories-"))
        self.data = write_questions(self.folder / "questions.jsonl", numbered_questions(SAMPLES))
        self.world = World(self.make_store())
        self.claims = Claims(self.world)

    def make_store(self):
        return local_disk(self.folder / "store")

    @rule(
        methods=METHODS, overwrite=st.booleans(), fewer=st.booleans(), size=st.integers(1, 3),
        fault=FAULTS,
    )  # fmt: skip
    def enqueue(self, methods, overwrite, fewer, size, fault):
        request = self.request(methods, overwrite, fewer, size)
        self.start_enqueue(request, fault)

    def request(self, methods, overwrite, fewer=False, size=2):
        return RunRequest(
            dataset="numbers", data=self.data, model="owner/model", methods=methods,
            num_few_shot=0, num_paraphrases=2, num_draws=1, shard_size=size,
            max_samples=SAMPLES - 1 if fewer else None, overwrite=overwrite,
        )  # fmt: skip

    def start_enqueue(self, request, fault):
        self.world.run(partial(self.world.enqueue, request), fault, self.refusals_are_fine)

    @precondition(lambda self: self.world.queue)
    @rule(
        number=ANY, weights=st.sampled_from("AAAB"), fault=FAULTS,
        flaky=st.one_of(st.none(), st.integers(0, SAMPLES - 1)),
    )  # fmt: skip
    def work(self, number, weights, flaky, fault):
        queue = self.world.queue
        queue.rotate(-(number % len(queue)))
        uuid = None if flaky is None else f"id-{flaky:03d}"
        self.world.deliver(queue.popleft(), f"weights {weights}", uuid, fault)

    @rule(method=st.sampled_from(["origin", "avg", "per_prompt"]), moment=st.integers(1, 30))
    def commit_late(self, method, moment):
        """A worker waits at some moment while its run is overwritten."""
        self.world.redis.away = False
        self.start_enqueue(self.request((method,), overwrite=True), None)
        if not self.world.queue:
            return  # It was refused.
        before, message = len(self.world.paused), self.world.queue.pop()
        self.world.deliver(message, "weights A", None, Fault("pause", moment))
        self.start_enqueue(self.request((method,), overwrite=True), None)
        if len(self.world.paused) > before:
            self.world.resume(before, None)

    @precondition(lambda self: self.world.queue)
    @rule(most=st.integers(1, 6))
    def work_well(self, most):
        for _ in range(min(most, len(self.world.queue))):
            self.world.deliver(self.world.queue.popleft(), "weights A", None, None)
        while self.world.merges:
            self.world.merge(None)

    @precondition(lambda self: self.world.merges)
    @rule(fault=FAULTS)
    def merge_of_a_worker(self, fault):
        self.world.merge(fault)

    @precondition(lambda self: self.world.merges)
    @rule()
    def a_merge_is_lost_with_its_worker(self):
        self.world.merges.clear()

    @precondition(lambda self: self.world.runs())
    @rule(number=ANY, partly=st.booleans(), fault=FAULTS)
    def merge(self, number, partly, fault):
        runs = self.world.runs()
        run = runs[number % len(runs)]
        merging = partial(merge_run, RunFolder(run.store, run.key), partly)
        self.world.run(merging, fault, self.refusals_are_fine)

    @precondition(lambda self: self.world.runs())
    @rule(number=ANY, every=st.booleans(), fault=FAULTS)
    def retry(self, number, every, fault):
        runs = self.world.runs()
        retrying = partial(self.world.retry, runs[number % len(runs)], every)
        self.world.run(retrying, fault, self.refusals_are_fine)

    @precondition(lambda self: self.world.runs())
    @rule(number=ANY, fault=FAULTS)
    def cancel(self, number, fault):
        runs = self.world.runs()
        cancelling = partial(self.world.cancel, runs[number % len(runs)])
        self.world.run(cancelling, fault, self.refusals_are_fine)

    @rule(method=st.sampled_from(["origin", "per_prompt"]), answered=st.booleans())
    def cancel_late(self, method, answered):
        """A run is cancelled that waits for its merge, or for workers."""
        self.world.redis.away = False
        self.start_enqueue(self.request((method,), overwrite=True), None)
        for _ in range(len(self.world.queue) if answered else 0):
            self.world.deliver(self.world.queue.popleft(), "weights A", None, None)
        for run in self.world.runs():
            self.world.run(partial(self.world.cancel, run), None, self.refusals_are_fine)

    @precondition(lambda self: self.world.runs())
    @rule(number=ANY, force=st.booleans(), fault=FAULTS)
    def delete(self, number, force, fault):
        runs = self.world.runs()
        deleting = partial(self.world.delete, runs[number % len(runs)], force)
        self.start_delete(deleting, fault)

    def start_delete(self, deleting, fault):
        self.world.run(deleting, fault, self.refusals_are_fine)

    @precondition(lambda self: not self.world.redis.away)
    @rule(fault=FAULTS)
    def reconcile(self, fault):
        self.world.run(self.world.reconcile, fault, self.refusals_are_fine, set())

    @precondition(lambda self: self.world.paused)
    @rule(number=ANY, fault=FAULTS)
    def resume(self, number, fault):
        self.world.resume(number, fault)

    @precondition(lambda self: self.world.paused)
    @rule(number=ANY)
    def kill(self, number):
        self.world.kill_paused(number)

    @precondition(lambda self: self.world.sent)
    @rule(number=ANY)
    def deliver_again(self, number):
        self.world.queue.append(self.world.sent[number % len(self.world.sent)])

    @rule(what=st.sampled_from(["forgets", "goes away", "is back"]))
    def redis(self, what):
        self.world.redis.away = what == "goes away"
        if what == "forgets":
            self.world.redis.forget()
            self.world.queue.clear()

    @rule()
    def all_ends_well(self):
        self.world.finish()
        self.claims.check_finished()

    @invariant()
    def what_is_there_is_right(self):
        self.claims.check()

    def refusals_are_fine(self, process: Process) -> None:
        """A producer may say no, and what a fault of the disk ends may say that."""
        known = (UsageError, redis.RedisError) + ((OSError,) if process.struck else ())
        if process.error is not None and not process.was_killed:
            assert isinstance(process.error, known), process.error

    def teardown(self):
        try:
            self.world.finish()
            self.claims.check_finished()
        finally:
            while self.world.paused:
                self.world.kill_paused(0)
            shutil.rmtree(self.folder)


class HistoriesOfObjects(Histories):
    """The same, in an object store.

    Two things are not asked of it, as it has no exclusive step: that one producer overwrites or
    deletes while another creates the run anew, and that two at once create it with different
    samples.
    """

    def make_store(self):
        return object_store()

    def start_enqueue(self, request, fault):
        waits = fault is not None and fault.kind == "pause"
        return super().start_enqueue(
            replace(request, max_samples=None), None if waits and request.overwrite else fault
        )

    def start_delete(self, deleting, fault):
        waits = fault is not None and fault.kind == "pause"
        return super().start_delete(deleting, None if waits else fault)


@pytest.mark.parametrize("machine", [Histories, HistoriesOfObjects])
def test_no_history_loses_or_mixes_results(machine, monkeypatch):
    without_celery_and_redis(monkeypatch)
    watch_local_disk(monkeypatch)
    read_parts_in_turn(monkeypatch)
    chosen = settings(
        max_examples=HISTORIES or 16, stateful_step_count=20, deadline=None,
        derandomize=not HISTORIES, database=None,
        phases=PHASES, suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    run_state_machine_as_test(machine, settings=chosen)
