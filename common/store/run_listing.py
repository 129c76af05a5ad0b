"""Every run of a store, created or waiting, with its files, from one listing."""

from collections.abc import Iterable, Iterator

from common.errors import UsageError
from common.run import RunKey
from common.store.filesystem import StoredFile, StoreFilesystem
from common.store.runs import RunFolder
from common.store.waiting import upstream_of


def list_runs(store: StoreFilesystem) -> Iterator[RunFolder]:
    """Yield every run of a store that is created, ordered by key."""
    for run, files in list_runs_with_files(store):
        if is_created(run, files):
            yield run


def list_runs_with_files(
    store: StoreFilesystem,
) -> Iterator[tuple[RunFolder, list[StoredFile]]]:
    """Yield every run of a store and its files, also those that wait, ordered by key."""
    files: dict[str, list[StoredFile]] = {}
    for file in store.list_files("", recursive=True):
        files.setdefault(_run_of(file.path), []).append(file)
    for key, listed in sorted(files.items(), key=lambda item: item[0].split("/")):
        if (run := _run(store, key)) and (is_created(run, listed) or upstream_of(run, listed)):
            yield run, listed


def is_created(run: RunFolder, files: Iterable[StoredFile]) -> bool:
    """Whether the record of a run is among the files."""
    return any(file.path == run.file("run.json") for file in files)


def _run(store: StoreFilesystem, key: str) -> RunFolder | None:
    try:
        return RunFolder(store, RunKey.parse(key))
    except UsageError:
        return None  # Other files of the store: marks, and what is staged or was deleted.


def _run_of(path: str) -> str:
    """Key of the run that a path of a store would belong to."""
    folders = path.split("/")
    if len(folders) > 3:
        return "/".join(folders[:3]).removesuffix(".after")
    return path.removesuffix(".feather")
