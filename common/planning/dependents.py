"""Dependent runs: the result of one run -> the samples of the runs that were planned after it.

Plans of dependents lie beside the run, one file each, so producers that plan at the same time
keep each other's. Whoever merges a run creates its dependents. A producer that adds a dependent to
a merged run creates it itself. Whichever comes second sees the other's file. Creating them twice
makes nothing new.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

from pydantic import ValidationError

from common.errors import UsageError
from common.methods import PARAPHRASES, STEPS
from common.planning.plan import RunPlan, create_runs
from common.records import Sample
from common.run import RunKey
from common.store.filesystem import StoreFilesystem
from common.store.manifest import read_manifest
from common.store.merge import merge_run
from common.store.progress import missing_rows
from common.store.runs import RunFolder


def note_dependents(run: RunFolder, dependents: Sequence[RunPlan]) -> None:
    """Write the plans of runs to create of the run's result beside the run."""
    for dependent in dependents:
        name = RunKey.parse(dependent.key).name
        model = RunKey.parse(dependent.key).model
        path = run.file(f"dependents/{model}-{name}.json")
        run.store.write_bytes(path, dependent.model_dump_json().encode())


def read_dependents(run: RunFolder) -> list[RunPlan]:
    """Read the plans of the run's dependents; raises UsageError for a damaged one."""
    found = []
    for path in run.store.list(run.file("dependents")):
        if not path.endswith(".json"):
            continue  # Another producer is writing it, or was killed at it.
        try:
            found.append(RunPlan.model_validate_json(run.store.read_bytes(path)))
        except ValidationError as error:
            raise UsageError(
                f"{run.store.path(path)} is no planned run of this version "
                f"({error.errors()[0]['msg']}); delete it and enqueue again"
            ) from None
    return found


def create_with_dependents(
    store: StoreFilesystem,
    planned: Sequence[RunPlan],
    samples: Iterable[Sample],
    provenance: dict[str, Any],
    overwrite: Collection[str] = (),
    where: Callable[[], str] = lambda: "its row",
) -> list[RunFolder]:
    """Create runs, note their dependents, and create those of runs that are complete already.

    overwrite: keys of runs and dependents to delete, once every snapshot is written.
    Raises UsageError as `create_runs` does.
    """
    runs = create_runs(store, planned, samples, provenance, overwrite, where)
    for run, plan in zip(runs, planned, strict=True):
        delete_runs(store, plan.dependents, overwrite)
        note_dependents(run, plan.dependents)
    return [*runs, *(made for run in runs for made in create_dependents(run))]


def delete_runs(
    store: StoreFilesystem, planned: Iterable[RunPlan], overwrite: Collection[str]
) -> None:
    """Delete those of the planned runs and their dependents whose keys are in `overwrite`."""
    for plan in (each for root in planned for each in root.all()):
        if plan.key in overwrite:
            RunFolder(store, RunKey.parse(plan.key)).delete()


def create_dependents(run: RunFolder) -> list[RunFolder]:
    """Create the dependents of a run, and theirs; returns [] before the run is complete.

    Raises UsageError where one of them exists with another fingerprint.
    """
    if run.spec.method not in STEPS:
        return []
    dependents = read_dependents(run)
    if not dependents or not has_result(run):
        return []
    provenance = {**run.record.provenance, "depends_on": f"{run.key}@{run.record.fingerprint}"}
    samples = result_samples(run)
    return create_with_dependents(
        run.store, dependents, samples, provenance, (), lambda: str(run.key)
    )


def has_result(run: RunFolder) -> bool:
    """Whether the whole result is there; a complete run that nobody merged is merged now.

    A partial file is no result to go on from: its samples are not those of the whole result.
    """
    if run.store.exists(run.feather) and not read_manifest(run).partial:
        return True
    if len(missing_rows(run)):
        return False
    merge_run(run)
    return True


def pending_dependents(runs: Sequence[RunFolder]) -> dict[str, str]:
    """Runs that are planned and not made yet: their keys, and the key of what each waits for."""
    found: dict[str, str] = {}
    for run in runs:
        for plan in read_dependents(run) if run.spec.method in STEPS else []:
            found.update({later.key: str(run.key) for later in plan.all()})
            found.update({later.key: plan.key for later in plan.dependents})
    made = {str(run.key) for run in runs}
    return {key: after for key, after in found.items() if key not in made}


def result_samples(run: RunFolder) -> Iterator[Sample]:
    """The samples that a merged run of paraphrases or confidences gives.

    A question it failed on keeps what it has, and an empty paraphrase or no confidence stands for
    what it lacks: the runs that need it give an error in that row.
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
    reader = run.store.open_arrow(run.feather)
    wanted = {"uuid", "paraphrases", "answers", "num_manual", "confidence"}
    columns = [name for name in reader.schema.names if name in wanted]
    for number in range(reader.num_record_batches):
        yield from reader.get_batch(number).select(columns).to_pylist()
