"""Every run of a store, with its files, from one listing."""

from collections.abc import Iterator

from common.run import RunKey
from common.store.filesystem import StoredFile, StoreFilesystem
from common.store.runs import RunFolder


def list_runs(store: StoreFilesystem) -> Iterator[RunFolder]:
    """Yield every run of a store, ordered by key."""
    for run, _ in list_runs_with_files(store):
        yield run


def list_runs_with_files(
    store: StoreFilesystem,
) -> Iterator[tuple[RunFolder, list[StoredFile]]]:
    """Yield every run of a store and its files, from one listing, ordered by key."""
    files: dict[str, list[StoredFile]] = {}
    for file in store.list_files("", recursive=True):
        files.setdefault(_run_of(file.path), []).append(file)
    for key, listed in sorted(files.items(), key=lambda item: item[0].split("/")):
        if any(file.path == f"{key}/run.json" for file in listed):
            yield RunFolder(store, RunKey.parse(key)), listed


def _run_of(path: str) -> str:
    """Key of the run that a path of a store would belong to."""
    folders = path.split("/")
    return "/".join(folders[:3]) if len(folders) > 3 else path.removesuffix(".feather")
