"""Deletion of a run's folder while workers that do not know of it go on writing into it.

On a local disk (NFS included) the folder is renamed first, which takes all of it away at once, to
`.deleted/<random>` beside it, where no listing looks for runs. Then it is deleted. What is left
there, as by a process that was killed, is deleted together with the next run of that model.

On an object store a rename is a copy. There the record is deleted first (but for the votes by
which it was written, or they would bring it back), which makes the run vanish; files that are
written after that carry the generation of the deleted run, so no later run of this name reads
them.
"""

import logging
import uuid
from collections.abc import Callable

from common.errors import first_line
from common.store.filesystem import StoreFilesystem
from common.store.first_writer import votes_folder

logger = logging.getLogger(__name__)

TRIES = 3
"""A worker that is just creating a file may make one deletion fail with "Directory not empty"."""


def set_aside(store: StoreFilesystem, folder: str, unless: str | None = None) -> None:
    """Take a run's folder away from its name. A missing folder is no error.

    unless: name of a file; a folder that has it, which another process may just have made, is put
    back. For local stores.
    """
    if not store.is_local:
        store.delete(votes_folder(f"{folder}/run.json"))
        store.delete(f"{folder}/run.json")
        clear(store, folder)
        return
    if store.exists(folder):
        aside = f"{_leftovers(folder)}/{uuid.uuid4().hex}"
        try:
            store.move(folder, aside)
            if unless and store.exists(f"{aside}/{unless}"):
                store.move_new(aside, folder)
        except FileNotFoundError:
            if store.exists(folder):
                raise  # Not another producer's deletion: something else is missing.


def sweep(store: StoreFilesystem, folder: str) -> None:
    """Delete what was set aside beside this folder; what cannot be deleted is left, and logged."""
    leftovers = _leftovers(folder)
    if store.is_local:
        _try(lambda: store.empty(leftovers), store.path(leftovers))


def clear(store: StoreFilesystem, folder: str) -> None:
    """Delete a folder, if there is one; what cannot be deleted is left, and logged."""
    _try(lambda: store.delete(folder), store.path(folder))


def _leftovers(folder: str) -> str:
    return f"{folder.rpartition('/')[0]}/.deleted"


def _try(delete: Callable[[], None], path: str) -> None:
    for left in reversed(range(TRIES)):
        try:
            delete()
            return
        except OSError as error:
            if not left:
                logger.warning("%s holds what no run needs: %s", path, first_line(error))
