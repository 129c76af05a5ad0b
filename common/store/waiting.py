"""Waiting runs: a run without a snapshot yet is a plan beside the place of its folder.

    <dataset>/<model>/<name>.after/<model>/<name>.json
                                   for which run it waits, of the same data set

So one listing tells which runs wait and for what, and opens no file. The plan is not in the run's
folder, which is made by one rename; it stays beside a run that is created, and tells of which one
it was made.
"""

from collections.abc import Iterable

from common.run import RunKey
from common.store.filesystem import StoredFile
from common.store.runs import RunFolder

_SUFFIX = ".json"


def plan_path(run: RunFolder, upstream: RunFolder) -> str:
    """Path, inside the store, of the plan of a run that waits for `upstream`."""
    return f"{run.plans}/{upstream.key.model}/{upstream.key.name}{_SUFFIX}"


def upstream_of(run: RunFolder, files: Iterable[StoredFile]) -> RunFolder | None:
    """Return the run that this one was planned to wait for, or None if it was not.

    files: a listing in which those of the run are.
    """
    beside = f"{run.plans}/"
    for path in (file.path for file in files if file.path.startswith(beside)):
        name = path.removeprefix(beside)
        if name.endswith(_SUFFIX) and name.count("/") == 1:
            key = RunKey.parse(f"{run.key.dataset}/{name.removesuffix(_SUFFIX)}")
            return RunFolder(run.store, key)
    return None


def is_planned(run: RunFolder) -> bool:
    """Whether there is a plan of the run, which is created or waits."""
    return upstream_of(run, run.store.list_files(run.plans, recursive=True)) is not None


def list_dependents(run: RunFolder) -> list[RunFolder]:
    """List the runs that depend on this one directly, created or not, ordered by key.

    No folder of a run is listed: the parts of a data set may be many.
    """
    store = run.store
    models = store.list_folders(run.key.dataset)
    beside = (path for model in models for path in store.list_folders(model))
    keys = [path.removesuffix(".after") for path in beside if path.endswith(".after")]
    planned = [RunFolder(store, RunKey.parse(key)) for key in keys]
    return [each for each in planned if store.exists(plan_path(each, run))]
