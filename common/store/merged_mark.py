"""The mark of a merged run: an empty file whose name says which parts its result was made of.

A listing that shows the mark, the merged file and these very parts tells that the run is merged,
and no file is opened for it. `<run>/merged-<digest of the names of the parts>-<generation>`
"""

import hashlib
from collections.abc import Collection

from common.store.parts import name_of
from common.store.runs import RunFolder


def mark_merged(run: RunFolder, files: Collection[str]) -> None:
    """Leave the mark of a merged file, and delete those of earlier ones.

    files: paths of the run's files before its parts were read. A part that came meanwhile is not
    in the merged file, and with it in the folder the mark says nothing.
    """
    mark = _mark(run, files)
    if mark not in files:
        with run.write(mark):
            pass
    for path in files:
        ours = path.startswith(run.file("merged-")) and path.endswith(run.record.generation)
        if ours and path != mark:
            run.store.delete(path)


def has_mark(run: RunFolder, files: Collection[str]) -> bool:
    """Whether the run's files, by path, have the mark of a result of all its parts."""
    return _mark(run, files) in files


def _mark(run: RunFolder, files: Collection[str]) -> str:
    names = sorted(str(name) for path in files if (name := name_of(run, path)))
    digest = hashlib.sha256("\n".join(names).encode()).hexdigest()[:12]
    return run.file(f"merged-{digest}-{run.record.generation}")
