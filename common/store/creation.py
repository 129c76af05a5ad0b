"""Creation of a run's folder: of many processes that create a run at once one does.

On a local disk (NFS included) the folder is made elsewhere and renamed when it is whole, which
fails where a folder is that is not empty. On an object store the record is what one of them wrote
first (common.store.first_writer). Samples of the same spec are the same, whoever writes them; a
run that is created at the same moment with another spec may get the samples of the slower one.
"""

import uuid

from common.store.filesystem import StoreFilesystem
from common.store.first_writer import write_first


def put_in_place(store: StoreFilesystem, folder: str, snapshot: str, record: bytes) -> bool:
    """Make a run's folder of a snapshot and a record, unless there is one; return whether it did.

    snapshot: path of the file inside the store, which is moved only if the folder is made.
    """
    if store.is_local:
        return _move_in(store, folder, snapshot, record)
    if store.exists(f"{folder}/run.json"):
        return False
    store.move(snapshot, f"{folder}/input.arrow")
    return write_first(store, f"{folder}/run.json", record) == record


def _move_in(store: StoreFilesystem, folder: str, snapshot: str, record: bytes) -> bool:
    staged = f".staging/{uuid.uuid4().hex}"
    try:
        store.write_bytes(f"{staged}/run.json", record)
        store.move(snapshot, f"{staged}/input.arrow")
        made = store.move_new(staged, folder)
        if not made:
            store.move(f"{staged}/input.arrow", snapshot)
        return made
    finally:
        store.delete(staged)
