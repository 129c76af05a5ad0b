"""A merge process that pauses in the middle of writing, as a large run would: a stand-in.

It says which run it writes into one fifo, and goes on when somebody opens and closes another.
Both lie beside the store.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import common.store.merge as merging
from common.settings import Settings
from common.store import RunFolder
from worker.merge_process import main

BEGUN, GO_ON = "begun", "go-on"


def make_fifos(folder: Path) -> None:
    for name in (BEGUN, GO_ON):
        os.mkfifo(folder / name)


def next_begun(folder: Path) -> str:
    """The key of the run that a merge writes now; waits for one."""
    return (folder / BEGUN).read_text()


def let_go_on(folder: Path) -> None:
    (folder / GO_ON).write_text("")


def hold_merges(folder: Path) -> None:
    windows = merging.merged_windows

    def held(run: RunFolder, *arguments: Any) -> Iterator[Any]:
        (folder / BEGUN).write_text(str(run.key))
        (folder / GO_ON).read_text()
        yield from windows(run, *arguments)

    merging.merged_windows = held


if __name__ == "__main__":
    hold_merges(Path(Settings.from_environment().store).parent)
    sys.exit(main(sys.argv[1:]))
