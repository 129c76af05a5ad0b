"""Dependent runs: the result of one run -> the samples of the runs that depend on it.

Each plan of a dependent is a file of its own (common.store.waiting), so producers that plan at the
same time keep each other's plans. Whoever merges a run creates its dependents. A producer that
adds a dependent to a merged run creates it itself. Whichever comes second sees the other's file.
Creating dependents twice makes nothing new. A dependent that was made before its run was retried
stays as it is, until somebody deletes it.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

from pydantic import ValidationError

from common.errors import OverwrittenRun, UsageError
from common.methods import PARAPHRASES, STEPS
from common.planning.plan import RunPlan, create_runs
from common.planning.sharding import DEPENDS_ON_ATTEMPT, depends_on_attempt
from common.records import Sample
from common.run import RunKey
from common.store.cancellation import is_cancelled, keep_cancelled, resume
from common.store.filesystem import StoreFilesystem
from common.store.manifest import read_manifest
from common.store.merge import merge_run
from common.store.progress import missing_rows
from common.store.retries import FIRST_ATTEMPT, latest_attempt
from common.store.runs import RunFolder
from common.store.waiting import is_planned, list_dependents, plan_path


def note_dependents(run: RunFolder, dependents: Sequence[RunPlan]) -> None:
    """Write the plans of dependents, and of theirs. One that was cancelled waits again."""
    for dependent in dependents:
        waiting = RunFolder(run.store, RunKey.parse(dependent.key))
        alone = dependent.model_dump_json(exclude={"dependents"})
        run.store.write_bytes(plan_path(waiting, run), alone.encode())
        if not waiting.exists():
            resume(waiting)
        note_dependents(waiting, dependent.dependents)


def forget_dependents(run: RunFolder) -> None:
    """Delete the plans to make runs of this one's result, and the runs that are not made yet."""
    for dependent in list_dependents(run):
        run.store.delete(plan_path(dependent, run))
        if not dependent.exists() and not is_planned(dependent):
            dependent.delete()
            forget_dependents(dependent)


def waiting_for(run: RunFolder) -> list[RunFolder]:
    """The runs that wait for this one, each followed by those that wait for it."""
    waiting = [later for later in list_dependents(run) if not later.exists()]
    return [each for later in waiting for each in (later, *waiting_for(later))]


def read_dependents(run: RunFolder) -> list[RunPlan]:
    """Read the plans of the run's dependents. Raises UsageError for a damaged file."""
    return [read_plan(dependent, run) for dependent in list_dependents(run)]


def read_plan(run: RunFolder, upstream: RunFolder) -> RunPlan:
    """Read the plan of a run that waits for `upstream`. Raises UsageError if it is damaged."""
    path = plan_path(run, upstream)
    try:
        return RunPlan.model_validate_json(run.store.read_bytes(path))
    except ValidationError as error:
        raise UsageError(
            f"{run.store.path(path)} is no planned run of this version "
            f"({error.errors()[0]['msg']}); delete it and enqueue again"
        ) from None


def create_with_dependents(
    store: StoreFilesystem,
    plans: Sequence[RunPlan],
    samples: Iterable[Sample],
    provenance: dict[str, Any],
    overwrite: Collection[str] = (),
    describe_row: Callable[[], str] = lambda: "its row",
) -> list[RunFolder]:
    """Create runs, note their dependents, and create the dependents of complete runs.

    overwrite: keys of runs and dependents to delete, once every snapshot is written, and with
    them what waits for them.
    Raises UsageError as `create_runs` does.
    """
    runs = create_runs(store, plans, samples, provenance, overwrite, describe_row)
    for run, plan in zip(runs, plans, strict=True):
        if plan.key in overwrite:
            _forget_those_of(run, plan)
        delete_runs(store, plan.dependents, overwrite)
        note_dependents(run, plan.dependents)
    return [*runs, *(made for run in runs for made in create_dependents(run))]


def delete_runs(
    store: StoreFilesystem, plans: Iterable[RunPlan], overwrite: Collection[str]
) -> None:
    """Delete the planned runs, and their dependents, whose keys are in `overwrite`."""
    for plan in (plan for root in plans for plan in root.all()):
        if plan.key in overwrite:
            run = RunFolder(store, RunKey.parse(plan.key))
            run.delete()
            _forget_those_of(run, plan)


def _forget_those_of(run: RunFolder, plan: RunPlan) -> None:
    if plan.spec.method in STEPS:
        forget_dependents(run)


def create_dependents(run: RunFolder) -> list[RunFolder]:
    """Create the dependents of a run, and their dependents; [] before the run is complete.

    Those that were cancelled while they waited are not created. Raises UsageError if one of them
    exists with another fingerprint.
    """
    if run.spec.method not in STEPS:
        return []
    plans = [plan for plan in read_dependents(run) if not _is_kept_waiting(run, plan)]
    if not plans or not merge_if_complete(run):
        return []
    provenance = {
        **run.record.provenance,
        "depends_on": f"{run.key}@{run.record.fingerprint}",
        DEPENDS_ON_ATTEMPT: read_manifest(run).attempt,
    }
    outdated = outdated_dependents(run)
    kept = {str(dependent.key) for dependent in outdated}
    anew = [plan for plan in plans if plan.key not in kept]
    samples = result_samples(run) if anew else ()
    made = create_with_dependents(run.store, anew, samples, provenance, (), lambda: str(run.key))
    for new in made:
        keep_cancelled(new)
    return [*made, *outdated, *(later for old in outdated for later in create_dependents(old))]


def _is_kept_waiting(run: RunFolder, plan: RunPlan) -> bool:
    dependent = RunFolder(run.store, RunKey.parse(plan.key))
    return not dependent.exists() and is_cancelled(dependent)


def dependents_of(run: RunFolder) -> list[RunFolder]:
    """The direct dependents of a run that is created, themselves created or not."""
    return list_dependents(run) if run.spec.method in STEPS else []


def existing_dependents(run: RunFolder) -> list[RunFolder]:
    """The dependents of a run that are created."""
    return [dependent for dependent in dependents_of(run) if dependent.exists()]


def outdated_dependents(run: RunFolder) -> list[RunFolder]:
    """The dependents of a run that were made from its result before it was retried."""
    attempt = latest_attempt(run)
    if attempt == FIRST_ATTEMPT:
        return []
    return [old for old in existing_dependents(run) if depends_on_attempt(old) < attempt]


def merge_if_complete(run: RunFolder) -> bool:
    """Merge a run that is complete and not merged; return whether its whole result is there.

    A partial file does not count: dependents would have other samples than those of the whole.
    Nor does a file from before a retry.
    """
    if run.is_merged():
        manifest = read_manifest(run)
        if not manifest.partial and manifest.attempt >= latest_attempt(run):
            return True
    if len(missing_rows(run)):
        return False
    try:
        merge_run(run)
    except OverwrittenRun:
        raise
    except UsageError:
        if len(missing_rows(run)):
            return False  # A retry has withdrawn rows meanwhile.
        raise
    return True


def result_samples(run: RunFolder) -> Iterator[Sample]:
    """Yield the samples that a merged run of paraphrases or confidences gives.

    A question that failed keeps its known paraphrases; empty texts stand for missing paraphrases,
    and () for missing confidences. Runs that need them write an error in that row.
    """
    if run.spec.method == PARAPHRASES.name:
        for row in _rows(run):
            written = tuple(row["paraphrases"] or ())
            missing = ("",) * (run.spec.num_paraphrases - len(written))
            yield Sample(written + missing, tuple(row["answers"]), row["uuid"])
        return
    for _, group in groupby(_rows(run), key=lambda row: row["uuid"]):
        rows = list(group)
        confidences = [row["confidence"] for row in rows]
        yield Sample(
            tuple(rows[0]["paraphrases"]),
            tuple(rows[0]["answers"]),
            rows[0]["uuid"],
            rows[0].get("num_manual"),
            () if None in confidences else tuple(confidences),
        )


def _rows(run: RunFolder) -> Iterator[dict[str, Any]]:
    wanted = {"uuid", "paraphrases", "answers", "num_manual", "confidence"}
    columns = [name for name in run.open_result().schema.names if name in wanted]
    for batch in run.batches(columns):
        yield from batch.to_pylist()
