"""Denials: a PermissionError of the store, which is a run's matter or this worker's."""

from common.store import StoreFilesystem


def folder_denied(store: StoreFilesystem, error: PermissionError) -> str:
    """Return why a run stops whose folder denies what the rest of its store allows.

    Raises UsageError if the store may not be written at all: this worker is at fault then.
    """
    store.check_writable()
    return f"the store may be written, but not this run's folder; change its mode: {error}"
