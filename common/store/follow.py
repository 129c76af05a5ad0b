"""Following: the result of one run -> the samples of the runs that were planned after it.

Followers lie beside the run, one file each, so that producers that plan at the same time keep
each other's. Who merges a run follows it; who plans a follower of a merged run does so, too:
one of the two comes second and sees the other's file. Following twice makes nothing new.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

from pydantic import ValidationError

from common.errors import UsageError
from common.methods import PARAPHRASES, STEPS
from common.planned import RunPlan
from common.run import RunKey
from common.schema import Sample
from common.store.filesystem import StoreFilesystem
from common.store.freeze import freeze
from common.store.manifest import read_manifest
from common.store.merge import merge_run
from common.store.progress import missing_rows
from common.store.runs import RunFolder


def plan_followers(run: RunFolder, followers: Sequence[RunPlan]) -> None:
    """Note what is to be made of the run's result."""
    for follower in followers:
        name = RunKey.parse(follower.key).name
        model = RunKey.parse(follower.key).model
        path = run.file(f"followers/{model}-{name}.json")
        run.store.write_bytes(path, follower.model_dump_json().encode())


def planned_followers(run: RunFolder) -> list[RunPlan]:
    """What is to be made of the run's result; raises UsageError for a damaged note."""
    found = []
    for path in run.store.list(run.file("followers")):
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


def make_runs(
    store: StoreFilesystem,
    planned: Sequence[RunPlan],
    samples: Iterable[Sample],
    provenance: dict[str, Any],
    overwrite: Collection[str] = (),
    where: Callable[[], str] = lambda: "its row",
) -> list[RunFolder]:
    """Freeze runs, note their followers, and follow those that are complete already.

    overwrite: keys of runs and followers to throw away; nothing goes before all is frozen.
    """
    runs = freeze(store, planned, samples, provenance, overwrite, where)
    for run, plan in zip(runs, planned, strict=True):
        delete_runs(store, plan.followers, overwrite)
        plan_followers(run, plan.followers)
    return [*runs, *(made for run in runs for made in follow(run))]


def delete_runs(
    store: StoreFilesystem, planned: Iterable[RunPlan], overwrite: Collection[str]
) -> None:
    """Remove the runs among `planned`, and what follows them, whose keys are in `overwrite`."""
    for plan in (each for root in planned for each in root.all()):
        if plan.key in overwrite:
            RunFolder(store, RunKey.parse(plan.key)).delete()


def follow(run: RunFolder) -> list[RunFolder]:
    """Make the runs planned after a run, and those after them; [] before it is complete.

    Raises UsageError where one of them exists with another fingerprint.
    """
    if run.spec.method not in STEPS:
        return []
    followers = planned_followers(run)
    if not followers or not has_result(run):
        return []
    provenance = {**run.record.provenance, "follows": f"{run.key}@{run.record.fingerprint}"}
    samples = result_samples(run)
    return make_runs(run.store, followers, samples, provenance, (), lambda: str(run.key))


def has_result(run: RunFolder) -> bool:
    """Whether the whole result is there; a complete run that nobody merged is merged now.

    A partial file is no result to go on from: its samples are not those that follow later.
    """
    if run.store.exists(run.feather) and not read_manifest(run).partial:
        return True
    if len(missing_rows(run)):
        return False
    merge_run(run)
    return True


def awaited_runs(runs: Sequence[RunFolder]) -> dict[str, str]:
    """Runs that are planned and not made yet: their keys, and the key of what each waits for."""
    found: dict[str, str] = {}
    for run in runs:
        for plan in planned_followers(run) if run.spec.method in STEPS else []:
            found.update({later.key: str(run.key) for later in plan.all()})
            found.update({later.key: plan.key for later in plan.followers})
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
            yield Sample(row["uuid"], written + missing, tuple(row["answers"]))
        return
    for _, group in groupby(_rows(run), key=lambda row: row["uuid"]):
        rows = list(group)
        confidences = [row["confidence"] for row in rows]
        yield Sample(
            rows[0]["uuid"],
            tuple(rows[0]["paraphrases"]),
            tuple(rows[0]["answers"]),
            rows[0].get("num_manual"),
            () if None in confidences else tuple(confidences),
        )


def _rows(run: RunFolder) -> Iterator[dict[str, Any]]:
    reader = run.store.open_arrow(run.feather)
    wanted = {"uuid", "paraphrases", "answers", "num_manual", "confidence"}
    columns = [name for name in reader.schema.names if name in wanted]
    for number in range(reader.num_record_batches):
        yield from reader.get_batch(number).select(columns).to_pylist()
