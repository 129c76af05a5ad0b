"""Denials: a PermissionError of the store, which is a run's matter or this worker's."""

from common.store import StoreFilesystem


def folder_denied(store: StoreFilesystem, error: PermissionError) -> str:
    """Return why a run stops whose folder denies what the rest of its store allows.

    Raises UsageError, as this worker is at fault, if no part of the store may be written.
    """
    store.check_writable()
    return f"the store may be written, but not this run's folder; change its mode: {error}"
