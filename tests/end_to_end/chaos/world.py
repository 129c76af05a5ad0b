"""A store, a queue, producers and workers, whose processes a test starts, pauses, kills and ends.

Producers prepare and enqueue, workers run the task, as the product does; Redis is in memory and
the model is none (tests.end_to_end.chaos.marked_answers).
"""

import io
import re
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
import redis
from celery.exceptions import Ignore, Reject, Retry
from rich.console import Console

from common import shard_sender
from common.broker import OTHER_QUEUE
from common.errors import StopRun
from common.messages import ShardMessage
from common.models import find_model
from common.planning import suspicions
from common.planning.dependents import create_dependents
from common.planning.reconcile import Reconciler
from common.planning.reconcile_store import reconcile_store
from common.planning.sharding import messages_for
from common.run_counters import RunCounters
from common.settings import Settings
from common.store import RunFolder, StoreFilesystem, list_runs, merge_run
from common.store.verify import holds
from producer import retrying
from producer.cancelling import cancel_run, resume_run
from producer.deleting import delete_run
from producer.prepare import prepare
from producer.publish import publish
from producer.request import RunRequest
from producer.retrying import retry_run
from producer.session import Session
from tests.common.processkit import Fault, Process, is_killed
from tests.end_to_end.chaos.forgetful_redis import ForgetfulRedis
from tests.end_to_end.chaos.marked_answers import MarkedAnswers
from worker import merging, stray_exits, tasks
from worker.executor import ShardExecutor
from worker.merging import Merger
from worker.shards import Shard

SETTINGS = Settings(broker="redis://nobody.listens")
MOST_DELIVERIES = 400
CANCELLED = re.compile(r"/cancelled-([0-9a-f]{12})\.json$")

_here = threading.local()


@dataclass
class Message:
    """A message on the queue. retries: how often a worker had it delivered again."""

    kwargs: dict[str, Any]
    retries: int = 0


@dataclass
class Delivery:
    """One delivery of a message. opened: generation of each run, as the worker opened it.

    barred: as of `World.run`.
    """

    message: Message
    identity: str
    barred: set[str] = field(default_factory=set)
    opened: dict[str, str] = field(default_factory=dict)


class World:
    """Everything that processes share. deliveries: all that there were, by their numbers.

    cancelled: generations that are cancelled now. merging: of the processes that ran since the
    last check and may have merged, what each is barred from.
    """

    def __init__(self, store: StoreFilesystem) -> None:
        self.store = store
        self.redis = ForgetfulRedis(lambda: len(self.queue))
        self.counters = RunCounters(self.redis, "se")  # type: ignore[arg-type]
        self.queue: deque[Message] = deque()
        self._reconciler = Reconciler(self.counters, self._send_all)
        self.sent: list[Message] = []
        self.deliveries: list[Delivery] = []
        self.merges: list[str] = []
        self.paused: list[tuple[Process, Callable[[Process], None]]] = []
        self.cancelled: set[str] = set()
        self.merging: list[set[str]] = []
        self.killed = False
        self._barred: dict[Process, set[str]] = {}

    def run(
        self,
        work: Callable[[], Any],
        fault: Fault | None,
        after: Callable[[Process], None],
        barred: set[str] | None = None,
    ) -> None:
        """Start a process. after: called when it has ended, now or when it is resumed.

        barred: becomes the generations that it must add nothing to, as they were cancelled when
        it began and have been ever since; None for what a person starts, who may.
        """
        self.look()
        process = Process(work, fault)
        self._barred[process] = set() if barred is None else barred
        self._barred[process] |= set() if barred is None else self.cancelled
        self.merging.append(self._barred[process])
        self._settle(process.start(), after)

    def look(self) -> None:
        """See which generations are cancelled, and lift the bars of those that are not."""
        found = map(CANCELLED.search, self.store.list("", recursive=True))
        self.cancelled = {match[1] for match in found if match}
        for barred in self._barred.values():
            barred &= self.cancelled

    def resume(self, number: int, fault: Fault | None) -> None:
        self.look()
        process, after = self.paused.pop(number % len(self.paused))
        self.merging.append(self._barred[process])
        process.go_on(fault)
        self._settle(process, after)

    def kill_paused(self, number: int) -> None:
        process, after = self.paused.pop(number % len(self.paused))
        process.kill()
        self._settle(process, after)

    def _settle(self, process: Process, after: Callable[[Process], None]) -> None:
        if process.is_paused:
            self.paused.append((process, after))
        else:
            self.killed |= process.was_killed
            after(process)

    def send(self, kwargs: dict[str, Any], **_: Any) -> None:
        self.queue.append(Message(kwargs))
        self.sent.append(self.queue[-1])

    def enqueue(self, request: RunRequest) -> None:
        """What `producer enqueue` does."""
        _here.world = self
        prepared = prepare(request, self.store)
        console = Console(file=io.StringIO())
        Session(SETTINGS, self.counters, prepared, request.shard_size, console).enqueue()

    def deliver(
        self, message: Message, identity: str, flaky: str | None, fault: Fault | None
    ) -> None:
        """Have a worker answer a message, with its verdict on it."""
        number = len(self.deliveries)
        delivery = Delivery(message, identity)
        self.deliveries.append(delivery)
        answers = MarkedAnswers(number, identity, flaky)
        answer, judge = partial(self._answer, delivery, answers), partial(self._judge, delivery)
        self.run(answer, fault, judge, delivery.barred)

    def _answer(self, delivery: Delivery, answers: MarkedAnswers) -> None:
        _here.world, _here.delivery = self, delivery
        _here.executor = ShardExecutor(
            SETTINGS, self.store, self.counters, lambda keys, _: self.merges.extend(keys)
        )
        _here.executor.manager = answers
        tasks.answer_shard.push_request(
            retries=delivery.message.retries, called_directly=False, id="an id",
            delivery_info={"routing_key": OTHER_QUEUE}, hostname="worker@here",
        )  # fmt: skip
        tasks.answer_shard.run(**delivery.message.kwargs)

    def _judge(self, delivery: Delivery, process: Process) -> None:
        """Do with the message what Celery does."""
        message, error = delivery.message, process.error
        if process.was_killed or (isinstance(error, Reject) and error.requeue):
            self.queue.append(message)
        elif isinstance(error, Retry):
            self.queue.append(Message(message.kwargs, message.retries + 1))
        elif error is not None and not isinstance(error, Reject | StopRun | Ignore):
            raise AssertionError(f"{error!r} left the task; Celery drops the message") from error

    def retry(self, run: RunFolder, every: bool) -> None:
        """What `producer retry` does."""
        _here.world = self
        retry_run(SETTINGS, RunFolder(run.store, run.key), every)

    def cancel(self, run: RunFolder) -> None:
        """What `producer cancel` does."""
        cancel_run(RunFolder(run.store, run.key), self.counters)

    def delete(self, run: RunFolder, force: bool) -> None:
        """What `producer delete` does."""
        delete_run(run.store, str(run.key), self.counters, force)

    def reconcile(self) -> None:
        """What `producer reconcile` does, with the second look that believes the first."""
        for _ in range(2):
            reconcile_store(self.store, SETTINGS.namespace, self._reconciler)

    def _send_all(self, messages: Sequence[ShardMessage], _: str) -> None:
        for message in messages:
            self.send(message.model_dump())

    def merge(self, fault: Fault | None) -> None:
        """Have the merge process of a worker finish a run that looks complete."""
        merger = Merger(self.store, self.counters, send_shards, lambda _: None)
        key = self.merges.pop(0)

        def finish() -> bool:
            _here.world = self
            return merger.finish(key)

        self.run(finish, fault, must_not_fail, set())

    def runs(self) -> list[RunFolder]:
        return list(list_runs(self.store))

    def finish(self) -> None:
        """Let everything end well: what is missing is sent and answered, by nobody at fault."""
        self.redis.away = False
        while self.paused:
            self.resume(0, None)
        while self.merges:
            self.merge(None)
        self._drop_messages_of_deleted_runs()
        before = -1
        while before < len(self.runs()):  # Merged runs create those that depend on them.
            before = len(self.runs())
            for run in self.runs():
                create_dependents(run)
            for run in self.runs():
                self._finish_run(run)

    def _drop_messages_of_deleted_runs(self) -> None:
        """Drop what is given back for ever once Redis has forgotten which store a run was in."""
        there = {str(run.key) for run in self.runs()}
        self.queue = deque(m for m in self.queue if there.issuperset(m.kwargs["runs"]))

    def _finish_run(self, run: RunFolder) -> None:
        _here.world = self
        resume_run(run)
        messages = list(messages_for([run]))
        model = find_model(run.spec.model)
        publish(SETTINGS, self.counters, model, [run], messages)
        last = len(self.deliveries) + MOST_DELIVERIES
        while self.queue:
            assert len(self.deliveries) < last, "the queue does not get empty"
            identity = run.pinned_model() or "weights A"
            self.deliver(self.queue.popleft(), identity, None, None)
            while self.merges:
                self.merge(None)
        if not holds(run):
            merge_run(run, anew=True)


class InsteadOfCelery:
    """The application with which `publish` sends, on the queue of the world."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self.conf: dict[str, Any] = {}
        self.producer_pool = self

    @contextmanager
    def acquire(self, block: bool) -> Iterator["InsteadOfCelery"]:
        yield self

    @contextmanager
    def batch(self, max_size: int) -> Iterator[None]:
        yield

    def send_task(self, _: str, kwargs: dict[str, Any], **__: Any) -> None:
        _here.world.send(kwargs)

    def close(self) -> None:
        pass


def must_not_fail(process: Process) -> None:
    if process.error is not None and not process.was_killed:
        raise AssertionError(f"{process.error!r} left the process") from process.error


def send_shards(messages: Sequence[ShardMessage], _: str) -> None:
    if _here.world.redis.away:
        raise redis.ConnectionError("away")
    for message in messages:
        _here.world.send(message.model_dump())


def noting_generations(open_shard: Callable[..., Shard]) -> Callable[..., Shard]:
    """Note what a worker opens, so that its answers can be told from those of another run."""

    def opening(*arguments: Any) -> Shard:
        shard = open_shard(*arguments)
        _here.delivery.opened = {str(run.key): run.record.generation for run in shard.runs}
        return shard

    return opening


def without_celery_and_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lead the task and the producer to the world of the process that runs them."""
    monkeypatch.setattr(shard_sender, "Celery", InsteadOfCelery)
    monkeypatch.setattr(retrying, "check_broker", lambda _: _here.world.counters)
    monkeypatch.setattr(tasks, "executor", lambda: _here.executor)
    monkeypatch.setattr(tasks, "counters", lambda: _here.world.counters)
    monkeypatch.setattr(tasks, "open_shard", noting_generations(tasks.open_shard))
    monkeypatch.setattr(stray_exits, "terminate_handler_fired", is_killed)
    monkeypatch.setattr(suspicions, "CONFIRM_SECONDS", 0)
    monkeypatch.setattr(suspicions, "CONFIRM_MERGE_SECONDS", 0)
    monkeypatch.setattr(merging, "MOST_TRIES", 2)
    monkeypatch.setattr(tasks.answer_shard, "send_event", lambda *_, **__: None)
    monkeypatch.setattr(tasks.answer_shard, "retry", lambda **_: Retry("later"))
    monkeypatch.setattr(tasks, "send_shards", lambda _, *sent: send_shards(*sent))
