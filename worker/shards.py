"""Shards: the runs and rows that a message names, checked before anything is computed.

A message comes from a queue that others may write to. It holds names and row numbers only;
every name is resolved under this worker's own store.
"""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from pydantic import ValidationError

from common.errors import RejectShard, ReturnShard, StopRun, UsageError
from common.messages import ShardMessage
from common.records import Sample
from common.run import SEMANTICS_VERSION, RunKey, share_prefill
from common.store import RunFolder, StoreFilesystem
from common.store.retries import latest_attempt


@dataclass(frozen=True)
class Shard:
    """Runs that are answered together, and the rows of this shard.

    samples: one per row, with the most paraphrases that any of the runs has (the other runs read
    the first few) and with confidences if any of the runs has confidences.
    attempts: of each run by its name, the attempt that it had when the shard was opened.
    """

    runs: tuple[RunFolder, ...]
    rows: tuple[int, ...]
    samples: tuple[Sample, ...]
    attempts: Mapping[str, int]

    @property
    def name(self) -> str:
        """A name that every delivery of the message has in common."""
        methods = "+".join(run.key.name for run in self.runs)
        return f"{methods}:{self.rows[0]}-{self.rows[-1]}:{len(self.rows)}"

    def halves(self) -> "list[Shard]":
        """The shard cut in two; a single row is one half."""
        middle = len(self.rows) // 2
        return [self.only(set(rows)) for rows in (self.rows[:middle], self.rows[middle:]) if rows]

    def only(self, rows: Collection[int]) -> "Shard":
        """Return the shard cut to its rows that are among `rows`."""
        kept = [i for i, row in enumerate(self.rows) if row in rows]
        return replace(
            self,
            rows=tuple(self.rows[i] for i in kept),
            samples=tuple(self.samples[i] for i in kept),
        )


def open_shard(
    store: StoreFilesystem,
    runs: object,
    rows: object,
    was_deleted: Callable[[RunFolder], bool] = lambda _: False,
) -> Shard:
    """Resolve the runs and rows of a message.

    was_deleted: tells of a missing run whether this store is the one that it was enqueued for.

    Of several runs those that were deleted are left out.

    Raises RejectShard if the message is malformed; ReturnShard if this worker has another store,
    or an older version than the run; StopRun if every run was deleted, or one was made under an
    older semantics version.
    """
    try:
        message = ShardMessage.model_validate_json(json.dumps({"runs": runs, "rows": rows}))
        keys = [RunKey.parse(name) for name in message.runs]
    except (ValidationError, UsageError) as error:
        raise RejectShard(f"message refused: {str(error).splitlines()[0]}") from None
    named = [RunFolder(store, key) for key in keys]
    folders = [run for run in named if run.exists() or not was_deleted(run)]
    if not folders:
        raise StopRun(f"run {keys[0]} is no longer in the store {store.uri}; enqueue it again")
    for run in folders:
        _require(run)
    attempts = {run.key.name: latest_attempt(run) for run in folders}
    numbers = message.row_numbers()
    return Shard(tuple(folders), tuple(numbers), _samples(folders, numbers), attempts)


def _require(run: RunFolder) -> None:
    """Raise ReturnShard or StopRun if this worker cannot answer the run."""
    if not run.exists():
        raise ReturnShard(
            f"run {run.key} is not in this worker's store {run.store.uri}; "
            "SELF_ENSEMBLE_STORE must name the producer's store"
        )
    semantics = run.spec.semantics
    if semantics > SEMANTICS_VERSION:
        raise ReturnShard(
            f"run {run.key} was made under semantics version {semantics}, this worker answers "
            f"under version {SEMANTICS_VERSION}; install the producer's version on it"
        )
    if semantics < SEMANTICS_VERSION:
        raise StopRun(
            f"run {run.key} was made under semantics version {semantics}, this "
            f"worker answers under version {SEMANTICS_VERSION}, which may give other rows; "
            "finish it with the version that it began with, or enqueue it with --overwrite"
        )


def _samples(runs: Sequence[RunFolder], rows: list[int]) -> tuple[Sample, ...]:
    if not share_prefill([run.spec for run in runs]):
        raise RejectShard(f"runs {[str(r.key) for r in runs]} cannot share a prefill")
    by_run = [run.read_samples(rows) for run in runs]
    joined = [_joined(views) for views in zip(*by_run, strict=True)]
    samples = [sample for sample in joined if sample]
    if len(samples) < len(rows):
        raise RejectShard(f"runs {[str(r.key) for r in runs]} hold different samples")
    return tuple(samples)


def _joined(views: Sequence[Sample]) -> Sample | None:
    """One sample joined from several runs; None if the runs disagree about the sample."""
    wide = max(views, key=lambda view: len(view.paraphrases))
    known = [view.confidences for view in views if view.confidences is not None]
    confidences = max(known, key=len, default=None)
    for view in views:
        n = len(view.paraphrases)
        if (view.uuid, view.paraphrases) != (wide.uuid, wide.paraphrases[:n]):
            return None
        if view.confidences is not None and view.confidences != (confidences or ())[:n]:
            return None
    return replace(wide, confidences=confidences)
