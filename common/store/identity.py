"""The identity of a store: a random id in it, which tells one store from another.

A path or URI does not: the same path may lead elsewhere on another host.
"""

import uuid

from common.store.filesystem import StoreFilesystem
from common.store.first_writer import write_first

_PATH = ".store-id"


def store_id(store: StoreFilesystem) -> str:
    """Return the id of a store; the first call gives it one."""
    return write_first(store, _PATH, uuid.uuid4().hex.encode()).decode()


def known_store_id(store: StoreFilesystem) -> str | None:
    """Return the id of a store; None for a place that no producer has used as one."""
    return store.read_bytes(_PATH).decode() if store.exists(_PATH) else None
