"""Executes shards in one worker process: answers them, and writes their parts."""

import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, replace
from functools import cached_property, partial

from common.errors import RetryShard, StopRun, UnusableModel, UsageError
from common.live_workers import place_of
from common.models import with_revision
from common.records import ResultRow
from common.run_counters import RunCounters
from common.settings import Settings
from common.store import PartInfo, RunFolder, StoreFilesystem
from common.store.identity import known_store_id
from common.store.parts import write_part
from common.store.progress import done_rows, missing_among
from worker.answering import answer_shard
from worker.bisect import Bisector
from worker.device_deaths import DeviceDeaths
from worker.ended_runs import why_ended
from worker.engine.attention.choose import find_backend
from worker.engine.stats import EngineStats
from worker.hints import hint
from worker.late_shards import is_late, unless_overwritten
from worker.loaded_engine import LoadedEngine
from worker.manager import ModelManager
from worker.model_notes import ModelNotes
from worker.refusals import loading_kills
from worker.results import failed_rows
from worker.shard_report import ShardReport
from worker.shards import Shard

StartMerge = Callable[[Sequence[str], bool], object]


class ShardExecutor:
    """Executes shards. Needs no Celery: its caller hands it the store and the counters.

    start_merge: has another process merge runs that look complete, named by their keys, and
    returns at once; with False if this shard had all its parts already. slot: number of this
    process on its host.
    """

    def __init__(
        self,
        settings: Settings,
        store: StoreFilesystem,
        counters: RunCounters,
        start_merge: StartMerge,
        slot: int = 0,
    ) -> None:
        if settings.attention != "auto":
            find_backend(settings.attention)
        self.settings = settings
        self.store = store
        self.counters = counters
        self._start_merge = start_merge
        self._slot = slot
        place = place_of(os.getppid())
        # This process and its predecessors in this slot: they share their parent.
        self._place = f"loading:{place}:{slot}"
        self._notes = ModelNotes(counters, place, slot)
        self._deaths = DeviceDeaths(counters, slot)

    @cached_property
    def manager(self) -> ModelManager:
        return ModelManager(self.settings, self._slot)

    def warm_up(self) -> None:
        """Load the model that the settings name, if any, before the first shard comes.

        A model whose loading ended this process again and again is skipped; its first shard
        stops the run with that reason.
        """
        settings, model = self.settings, self.settings.warm_model
        self._notes.begin()
        if not model or self._loading_kills(name := with_revision(model, settings.warm_revision)):
            return
        with self._noted_as_loading(name):
            self.manager.warm_up(
                model, settings.warm_dtype, settings.warm_samples, settings.warm_revision
            )

    def was_deleted(self, run: RunFolder) -> bool:
        """Whether a run that is missing was enqueued for this very store."""
        noted = hint(lambda: self.counters.store_of(str(run.key)), None)
        return noted is not None and noted == known_store_id(self.store)

    def execute(self, shard: Shard) -> list[Shard]:
        """Answer a shard and write its parts; returns shards to send in its place, if any.

        A shard that is executed again finds its parts and computes nothing. What belongs to a run
        that was overwritten since the shard was opened is dropped, and no error of it is a verdict
        on the new run. Raises StopRun, RetryShard, or PermissionError if the store does not let
        this worker write.
        """
        try:
            return self._execute(shard)
        except (StopRun, RetryShard, UsageError, OSError) as error:
            if not is_late(shard, error):
                raise
            return []

    def _execute(self, shard: Shard) -> list[Shard]:
        missing = [self._missing(run, shard.rows) for run in shard.runs]
        todo = tuple(run for run, rows in zip(shard.runs, missing, strict=True) if rows)
        going_on = tuple(run for run in todo if why_ended(run, self.counters) is None)
        remaining = replace(shard.only(set().union(*missing)), runs=going_on)
        first = str(shard.runs[0].key)
        answered = [run for run in shard.runs if run not in todo]
        if going_on:
            self._refuse_if_loading_kills(going_on[0].spec.model_name)
            attempt = hint(lambda: self.counters.start_attempt(first, shard.name), 1)
            killed = self._deaths.blame(shard)
            if attempt > self.settings.max_attempts:
                killed = f"its worker process died {attempt - 1} times while answering it"
            if killed and len(shard.rows) > 1:
                return remaining.halves()
            try:
                # Of the shard as it is delivered, whatever of it is left to do.
                with nullcontext() if killed else self._deaths.watching(shard):
                    answered += self._answer(remaining, killed)
            finally:
                # The process lives, whatever was raised: only attempts that ended it still count.
                hint(lambda: self.counters.finish_attempt(first, shard.name), None)
        complete = [run for run in answered if self._looks_complete(run, shard.rows)]
        if complete:
            written = any(run in todo for run in complete)
            self._start_merge([str(run.key) for run in complete], written)
        if todo and not going_on:
            ended = why_ended(todo[0], self.counters)
            raise ended or RetryShard("the run was enqueued again meanwhile")
        return []

    def _answer(self, shard: Shard, killed: str | None) -> list[RunFolder]:
        """Answer a shard and return the runs that have a part of it now.

        killed: why its one sample is not tried again; None for a shard to try.
        """
        try:
            return self._write_killed(shard, killed) if killed else self._answer_and_write(shard)
        except UsageError as error:
            raise StopRun(str(error)) from error
        except PermissionError:
            raise  # No passing fault; the caller finds out whose it is.
        except OSError as error:
            raise RetryShard(f"store {self.store.uri}: {error}") from error

    def _answer_and_write(self, shard: Shard) -> list[RunFolder]:
        started = time.time()
        spec = shard.runs[0].spec
        with self._noted_as_loading(spec.model_name):
            loaded = self.manager.engine_for(spec)
        pinned = []
        for run in shard.runs:
            with unless_overwritten():
                prompts = loaded.engine.tokenizer.digest(run.spec.prompt_format)
                run.pin_model(loaded.identity, loaded.files.stamp, prompts)
                pinned.append(run)
        if not pinned:
            return []
        shard = replace(shard, runs=tuple(pinned))
        loaded = loaded.with_prompt_notes(spec.prompt_format)
        with ShardReport(self.counters, shard) as report:
            bisector = Bisector(loaded.engine, report.answered)
            rows = answer_shard(bisector, shard)
        written = []
        for run in pinned:
            answers = rows[run.key.name]
            info = _part_info(run, shard, answers, loaded, started, bisector.stats)
            with unless_overwritten():
                write_part(run, info, answers)
                written.append(run)
        return written

    @contextmanager
    def _noted_as_loading(self, model: str) -> Iterator[None]:
        """Count an attempt to load a model, which stays counted if the process ends meanwhile."""
        hint(lambda: self.counters.start_attempt(self._place, model), 1)
        try:
            noted = self._notes.loading(model, lambda: self.manager.held)
            with self._deaths.loading(self._place, model), noted:
                yield
        finally:
            hint(lambda: self.counters.finish_attempt(self._place, model), None)

    def _loading_kills(self, model: str) -> bool:
        """Whether this process and its predecessors ended each time they loaded the model."""
        deaths = hint(lambda: self.counters.attempts(self._place, model), 0)
        return deaths >= self.settings.max_attempts

    def _refuse_if_loading_kills(self, model: str) -> None:
        """Raise UnusableModel if loading the model ends the process, and reset the count."""
        if self._loading_kills(model):
            hint(lambda: self.counters.finish_attempt(self._place, model), None)
            raise UnusableModel(loading_kills(model, self.settings.max_attempts))

    def _write_killed(self, shard: Shard, reason: str) -> list[RunFolder]:
        """Write error rows for samples that ended their process at every attempt."""
        written = []
        for run in shard.runs:
            answers = [
                answer
                for row, sample in zip(shard.rows, shard.samples, strict=True)
                for answer in failed_rows(run.spec, row, sample, reason, "worker")
            ]
            info = PartInfo(
                rows=shard.rows, failed=shard.rows, attempt=shard.attempts[run.key.name],
                fingerprint=run.record.fingerprint, model_identity=run.pinned_model(),
                started=time.time(), finished=time.time(), choices={}, counts={},
                worker=_worker_name(),
            )  # fmt: skip
            with unless_overwritten():
                write_part(run, info, answers)
                written.append(run)
        return written

    def _looks_complete(self, run: RunFolder, rows: Sequence[int]) -> bool:
        """Count rows as done, and return whether no row is left.

        The counters say it cheaply; whoever merges the run asks the store.
        """
        return self._count_done(run, rows) >= run.spec.num_samples

    def _missing(self, run: RunFolder, rows: Sequence[int]) -> Sequence[int]:
        """Return the rows, of some, that are left to answer.

        The store is not asked if the counters know of no answered row among them.
        """
        if not hint(lambda: self.counters.any_done(str(run.key), rows), True):
            return rows
        return missing_among(run, rows)

    def _count_done(self, run: RunFolder, rows: Sequence[int]) -> int:
        """Count rows as done; returns the number of rows counted so far."""
        return hint(partial(self._mark_done, run, rows), 0)

    def _mark_done(self, run: RunFolder, rows: Sequence[int]) -> int:
        """Mark rows as done; if Redis knows of none, as after a loss, all that the store holds."""
        any_done = self.counters.knows_done(str(run.key))
        return self.counters.mark_done(str(run.key), rows if any_done else done_rows(run))


def _part_info(
    run: RunFolder,
    shard: Shard,
    answers: Sequence[ResultRow],
    loaded: LoadedEngine,
    started: float,
    stats: EngineStats,
) -> PartInfo:
    return PartInfo(
        rows=shard.rows,
        attempt=shard.attempts[run.key.name],
        failed=tuple(sorted({answer.row for answer in answers if answer.error})),
        fingerprint=run.record.fingerprint,
        model_identity=loaded.identity,
        started=started,
        finished=time.time(),
        choices=loaded.choices,
        reasons=loaded.reasons_now(),
        counts=asdict(stats),
        worker=_worker_name(),
    )


def _worker_name() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"
