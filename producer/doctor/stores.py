"""The store: whether it can be written, has room, and is the one that every worker has."""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from common.errors import UsageError
from common.live_workers import LiveWorker
from common.store import StoreFilesystem
from common.store.identity import known_store_id
from producer.doctor.finding import Finding, fault, ok, warning

LITTLE_SPACE, NO_SPACE = 10 * 2**30, 2**30
"""Bytes left on a store's disk below which it is little, and too little."""


def check_store(uri: str) -> Iterator[Finding]:
    """Yield what is to be said of a store that this host has."""
    try:
        store = StoreFilesystem.open(uri)
        store.check_writable()
    except UsageError as error:
        yield fault("store", str(error), "give it rights, or choose another")
        return
    place = "a folder" if store.is_local else f"an object store ({store.filesystem.type_name})"
    yield ok("store", f"{store.uri} is {place} and can be written")
    if store.is_local:
        yield check_space(shutil.disk_usage(_existing(store.root)).free)


def check_space(free: int) -> Finding:
    """Whether results still fit. free: bytes left on the store's disk."""
    text = f"{free / 2**30:,.1f} GiB left on its disk"
    if free >= LITTLE_SPACE:
        return ok("store", text)
    remedy = "free some; a run whose parts cannot be written waits"
    return (fault if free < NO_SPACE else warning)("store", text, remedy)


def check_same_store(uri: str, workers: Sequence[LiveWorker]) -> Iterator[Finding]:
    """Yield for each worker with another store what to do, or that all have this one."""
    own = known_store_id(StoreFilesystem.open(uri))
    if own is None:
        yield ok("store", "new: the first `producer enqueue` gives it its id")
        return
    others = [worker for worker in workers if worker.store_id != own]
    for worker in others:
        yield _other_store(worker, own)
    if workers and not others:
        yield ok("store", f"every worker has this one (id {own[:12]})")


def _other_store(worker: LiveWorker, own: str) -> Finding:
    if worker.store_id is None:
        return warning(
            "store", f"worker {worker.name} does not see the id {own[:12]} in {worker.store}",
            "have its SELF_ENSEMBLE_STORE name this store, and check that it may read it",
        )  # fmt: skip
    return fault(
        "store", f"worker {worker.name} has another one ({worker.store}, id "
        f"{worker.store_id[:12]}, here {own[:12]})",
        "start it again with the SELF_ENSEMBLE_STORE of the producer",
    )  # fmt: skip


def _existing(root: str) -> Path:
    return next(path for path in (Path(root), *Path(root).parents) if path.exists())
