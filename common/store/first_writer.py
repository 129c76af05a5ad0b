"""One winner: of all processes that write a file for the first time, the content of one stands.

On a local disk (NFS included) a complete file is linked to its name, which fails where there is
one. `pyarrow.fs` has no conditional put and no other exclusive step for object stores (looked for
in 22 to 26), and a file system may have no hard links. There the writers vote.

Votes are files that are only ever added. A vote is decided by rounds of commit-adopt (Gafni 1998,
"Round-by-round fault detectors"): in each, a writer first proposes its content and looks at all
proposals; it then says whether it saw no other, and looks at all that was said. Who sees nothing
but agreement has the winner. Who sees another writer's agreement goes on with that one's content,
anybody else with the least of the proposals, which is the same for all who saw the same.

What holds, if a file that was written is in every later listing, as in S3, GCS and Azure:

- No two writers find different winners, however slow any of them is and wherever one ends: two
  cannot both see no other proposal, and what one found decided is seen by all who come later.
- A writer alone is done after one round. Writers who step on each other's toes for ever in the
  very same order would not end; two orders that differ once end it.
"""

import errno
import os
import uuid

from common.store.filesystem import StoreFilesystem

_AGREED, _SPLIT = b"+", b"-"


def write_first(store: StoreFilesystem, path: str, content: bytes) -> bytes:
    """Write a file, unless there is one, and return the content that stands.

    Raises FileNotFoundError if the file, or its folder, is deleted while it is written.
    """
    if not store.exists(path) and not store.create(path, content):
        store.write_bytes(path, _vote(store, votes_folder(path), content))
    return store.read_bytes(path)


def votes_folder(path: str) -> str:
    """Return the folder of the votes on a file; who deletes the file deletes it too."""
    return f"{path}.votes"


def _vote(store: StoreFilesystem, folder: str, content: bytes) -> bytes:
    number = 0
    while True:
        proposed = _say(store, f"{folder}/{number:04d}/proposed", content)
        verdict = _AGREED if proposed == {content} else _SPLIT
        verdicts = _say(store, f"{folder}/{number:04d}/said", verdict + content)
        agreed = {vote[1:] for vote in verdicts if vote[:1] == _AGREED}
        if verdicts == {_AGREED + content}:
            return content
        content = min(agreed or proposed)
        number += 1


def _say(store: StoreFilesystem, folder: str, content: bytes) -> set[bytes]:
    """Add a file to a folder, and return what all its files say.

    Raises FileNotFoundError if it is not among them: what is voted on was deleted meanwhile.
    """
    store.write_bytes(f"{folder}/{uuid.uuid4().hex}.vote", content)
    votes = {store.read_bytes(path) for path in store.list(folder) if path.endswith(".vote")}
    if content not in votes:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), store.path(folder))
    return votes
