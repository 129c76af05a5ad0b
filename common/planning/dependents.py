"""Dependent runs: the result of one run -> the samples of the runs that depend on it.

Each plan of a dependent is a file beside the run, so producers that plan at the same time keep
each other's plans. Whoever merges a run creates its dependents. A producer that adds a dependent
to a merged run creates it itself. Whichever comes second sees the other's file. Creating
dependents twice makes nothing new. A dependent that was made before its run was retried stays as
it is, until somebody deletes it.
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
from common.store.filesystem import StoreFilesystem
from common.store.manifest import read_manifest
from common.store.merge import merge_run
from common.store.progress import missing_rows
from common.store.retries import FIRST_ATTEMPT, latest_attempt
from common.store.runs import RunFolder


def note_dependents(run: RunFolder, dependents: Sequence[RunPlan]) -> None:
    """Write the plans of dependents beside the run, one file each."""
    for dependent in dependents:
        key = RunKey.parse(dependent.key)
        path = run.file(f"dependents/{key.model}-{key.name}.json")
        run.store.write_bytes(path, dependent.model_dump_json().encode())


def read_dependents(run: RunFolder) -> list[RunPlan]:
    """Read the plans of the run's dependents. Raises UsageError for a damaged file."""
    plans = []
    for path in run.store.list(run.file("dependents")):
        if not path.endswith(".json"):
            continue  # A temporary file: another producer is writing it, or was killed.
        try:
            plans.append(RunPlan.model_validate_json(run.store.read_bytes(path)))
        except ValidationError as error:
            raise UsageError(
                f"{run.store.path(path)} is no planned run of this version "
                f"({error.errors()[0]['msg']}); delete it and enqueue again"
            ) from None
    return plans


def create_with_dependents(
    store: StoreFilesystem,
    plans: Sequence[RunPlan],
    samples: Iterable[Sample],
    provenance: dict[str, Any],
    overwrite: Collection[str] = (),
    describe_row: Callable[[], str] = lambda: "its row",
) -> list[RunFolder]:
    """Create runs, note their dependents, and create the dependents of complete runs.

    overwrite: keys of runs and dependents to delete, once every snapshot is written.
    Raises UsageError as `create_runs` does.
    """
    runs = create_runs(store, plans, samples, provenance, overwrite, describe_row)
    for run, plan in zip(runs, plans, strict=True):
        delete_runs(store, plan.dependents, overwrite)
        note_dependents(run, plan.dependents)
    return [*runs, *(made for run in runs for made in create_dependents(run))]


def delete_runs(
    store: StoreFilesystem, plans: Iterable[RunPlan], overwrite: Collection[str]
) -> None:
    """Delete the planned runs, and their dependents, whose keys are in `overwrite`."""
    for plan in (plan for root in plans for plan in root.all()):
        if plan.key in overwrite:
            RunFolder(store, RunKey.parse(plan.key)).delete()


def create_dependents(run: RunFolder) -> list[RunFolder]:
    """Create the dependents of a run, and their dependents; [] before the run is complete.

    Raises UsageError if one of them exists with another fingerprint.
    """
    if run.spec.method not in STEPS:
        return []
    plans = read_dependents(run)
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
    return [*made, *outdated, *(later for old in outdated for later in create_dependents(old))]


def existing_dependents(run: RunFolder) -> list[RunFolder]:
    """The dependents of a run that are created. Raises UsageError as `read_dependents`."""
    plans = read_dependents(run) if run.spec.method in STEPS else []
    dependents = (RunFolder(run.store, RunKey.parse(plan.key)) for plan in plans)
    return [dependent for dependent in dependents if dependent.exists()]


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


def pending_dependents(run: RunFolder, created: Collection[str]) -> dict[str, str]:
    """Map the key of each dependent that is not created yet to the key of the run it waits for.

    created: keys of the runs of the store. Raises UsageError as `read_dependents`.
    """
    upstream: dict[str, str] = {}
    for plan in read_dependents(run) if run.spec.method in STEPS else []:
        upstream.update({dependent.key: str(run.key) for dependent in plan.all()})
        upstream.update({dependent.key: plan.key for dependent in plan.dependents})
    return {key: after for key, after in upstream.items() if key not in created}


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
