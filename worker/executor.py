"""One worker process: its store, its counters, its model, and what it does with a shard."""

import logging
import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import cached_property, partial
from typing import TypeVar

import redis

from common.errors import RetryShard, StopRun, UsageError
from common.messages import ShardMessage
from common.models import ModelSource, find_model
from common.planning.dependents import create_dependents, read_dependents
from common.planning.sharding import messages_for
from common.records import ResultRow
from common.run_counters import RunCounters
from common.settings import Settings
from common.store import PartInfo, RunFolder, StoreFilesystem, merge_run, missing_rows
from common.store.parts import part_path, write_part
from common.store.progress import done_rows
from worker.answering import answer_shard
from worker.engine.request import Counts
from worker.manager import LoadedEngine, ModelManager
from worker.results import failed_rows
from worker.shards import Shard

logger = logging.getLogger(__name__)

T = TypeVar("T")
Send = Callable[[ShardMessage, ModelSource], None]


class ShardExecutor:
    """Answers shards. Everything it needs is given to it, so tests need no Celery.

    send: puts a message on the queue of a model.
    """

    def __init__(
        self, settings: Settings, counters: RunCounters, send: Send, slot: int = 0
    ) -> None:
        self.settings = settings
        self.store = StoreFilesystem.open(settings.store)
        self.counters = counters
        self._send = send
        self._slot = slot

    @cached_property
    def manager(self) -> ModelManager:
        return ModelManager(self.settings, self._slot)

    def warm_up(self) -> None:
        """Load the model that the settings name, if any, before the first shard comes.

        One that ended this process again and again is left to the shard, which says so.
        """
        asked = self.settings
        if asked.warm_model and not self._dies_of(asked.warm_model):
            with self._noted_as_loading(asked.warm_model):
                self.manager.warm_up(asked.warm_model, asked.warm_dtype, asked.warm_samples)

    def execute(self, shard: Shard) -> list[Shard]:
        """Answer a shard and write its parts; returns shards to put in its place, if any.

        Raises StopRun or RetryShard. Doing a shard again finds its parts and returns.
        """
        runs = tuple(run for run in shard.runs if not _has_part(run, shard.rows))
        todo = replace(shard, runs=runs)
        first = str(shard.runs[0].key)
        if runs and not self._stopped(runs):
            self._refuse_what_kills(runs[0].spec.model)
            attempt = self._hint(lambda: self.counters.start_attempt(first, shard.name), 1)
            if attempt > self.settings.max_attempts and len(shard.rows) > 1:
                return todo.halves()
            try:
                self._answer(todo, killed=attempt > self.settings.max_attempts)
            finally:
                # Whatever it raised, the process lives: only those that died stay counted.
                self._hint(lambda: self.counters.finish_attempt(first, shard.name), None)
        try:
            for run in shard.runs:
                self._merge_if_complete(run, shard.rows)
        except UsageError as error:  # of merging, or of a dependent's model that is not here
            raise StopRun(str(error)) from error
        return []

    def _answer(self, shard: Shard, killed: bool) -> None:
        try:
            if killed:
                self._write_killed(shard)
            else:
                self._answer_and_write(shard)
        except UsageError as error:
            raise StopRun(str(error)) from error
        except PermissionError as error:
            raise StopRun(f"this worker may not write to {self.store.uri}: {error}") from error
        except OSError as error:
            raise RetryShard(f"store {self.store.uri}: {error}") from error

    def _answer_and_write(self, shard: Shard) -> None:
        started = time.time()
        spec = shard.runs[0].spec
        with self._noted_as_loading(spec.model):
            held = self.manager.engine_for(spec)
        for run in shard.runs:
            run.pin_model(held.identity, held.files.stamp)
        counts = Counts()
        rows = answer_shard(held.engine, shard, counts)
        for run in shard.runs:
            answers = rows[run.key.name]
            write_part(run, _part_info(run, shard.rows, answers, held, started, counts), answers)

    @contextmanager
    def _noted_as_loading(self, model: str) -> Iterator[None]:
        """A note that is still there if the process ends in the block."""
        self._hint(lambda: self.counters.start_attempt(self._place, model), 1)
        try:
            yield
        finally:
            self._hint(lambda: self.counters.finish_attempt(self._place, model), None)

    def _dies_of(self, model: str) -> bool:
        """Whether this process and those before it ended each time they loaded the model."""
        died = self._hint(lambda: self.counters.attempts(self._place, model), 0)
        return died >= self.settings.max_attempts

    def _refuse_what_kills(self, model: str) -> None:
        """Raise StopRun for such a model, and begin to count anew."""
        if self._dies_of(model):
            self._hint(lambda: self.counters.finish_attempt(self._place, model), None)
            raise StopRun(
                f"model {model} was loaded {self.settings.max_attempts} times, and each time the "
                f"process on {socket.gethostname()} ended. Most often the host has too little "
                "memory: its backend's log says so. Give it more, or a smaller --dtype or model"
            )

    @cached_property
    def _place(self) -> str:
        """This process and those that took its place, which have their parent in common."""
        return f"loading:{socket.gethostname()}:{os.getppid()}:{self._slot}"

    def _write_killed(self, shard: Shard) -> None:
        """A row that ended its process every time becomes a row with an error."""
        reason = f"its worker process died {self.settings.max_attempts} times while answering it"
        for run in shard.runs:
            answers = [
                answer
                for row, sample in zip(shard.rows, shard.samples, strict=True)
                for answer in failed_rows(run.spec, row, sample, reason)
            ]
            identity = run.pinned_model()
            nothing = PartInfo(
                rows=shard.rows, failed=shard.rows, fingerprint=run.record.fingerprint,
                model_identity=identity, started=time.time(), finished=time.time(),
                choices={}, counts={}, worker=_worker_name(),
            )  # fmt: skip
            write_part(run, nothing, answers)

    def _merge_if_complete(self, run: RunFolder, rows: Sequence[int]) -> None:
        """Note what is done; merge when the store confirms that nothing is missing."""
        if not _has_part(run, rows):
            return
        done = self._hint(lambda: self.counters.mark_done(str(run.key), rows), 0)
        if done >= run.spec.num_samples and not len(missing_rows(run)):
            manifest = merge_run(run)
            logger.info("run %s merged: %d rows, %s", run.key, manifest.found, run.feather_path)
            self._create_dependents(run)

    def _create_dependents(self, run: RunFolder) -> None:
        """Create the dependents of a merged run, and send their shards."""
        try:
            made = create_dependents(run)
        except UsageError as error:
            logger.error("runs that depend on %s cannot be created: %s", run.key, error)
            self._stop_dependents(run, str(error))
            return
        for new in made:
            logger.info("run %s was created, it depends on %s", new.key, run.key)
            self._hint(partial(self.counters.reset, str(new.key), done_rows(new)), None)
        models = {str(new.key): find_model(new.spec.model) for new in made}
        for message in messages_for(made):
            self._send(message, models[message.runs[0]])

    def _stop_dependents(self, run: RunFolder, reason: str) -> None:
        try:
            plans = read_dependents(run)
        except UsageError:
            return  # A damaged note names no run; the log has said so.
        for plan in plans:
            self._hint(partial(self.counters.stop, plan.key, reason), None)

    def _stopped(self, runs: Sequence[RunFolder]) -> bool:
        names = [str(run.key) for run in runs]
        return self._hint(lambda: any(self.counters.stop_reason(name) for name in names), False)

    def _hint(self, ask: Callable[[], T], otherwise: T) -> T:
        """The counters only hints: without it the work goes on."""
        try:
            return ask()
        except redis.RedisError as error:
            logger.warning("counters not reached, going on without it: %s", error)
            return otherwise


def _has_part(run: RunFolder, rows: Sequence[int]) -> bool:
    return run.store.exists(part_path(run, rows))


def _part_info(
    run: RunFolder,
    rows: tuple[int, ...],
    answers: Sequence[ResultRow],
    held: LoadedEngine,
    started: float,
    counts: Counts,
) -> PartInfo:
    return PartInfo(
        rows=rows,
        failed=tuple(sorted({answer.row for answer in answers if answer.error})),
        fingerprint=run.record.fingerprint,
        model_identity=held.identity,
        started=started,
        finished=time.time(),
        choices=held.choices,
        reasons=held.reasons_now(),
        counts=asdict(counts),
        worker=_worker_name(),
    )


def _worker_name() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"
