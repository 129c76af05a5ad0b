"""Own folders: one process each, kept when they are whole, emptied when they are not."""

import logging
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from worker.model.own_folder import own_folder

ROOT = Path(__file__).parents[3]

HOLD = """
import sys
from pathlib import Path
from worker.model.own_folder import own_folder
own = own_folder(Path(sys.argv[1]), int(sys.argv[2]))
print(own.path.name, flush=True)
sys.stdin.read()
"""

DIE_COMPILING = """
import os, sys
from pathlib import Path
from worker.model.own_folder import own_folder
own = own_folder(Path(sys.argv[1]), 0)
(own.path / "whole.so").write_text("a library")
with own.writing():
    (own.path / "half.so").write_text("half a libr")
    if sys.argv[2] == "dies":
        os._exit(9)
"""


@contextmanager
def holder(root, slot):
    """Another process that holds a folder; gives the process and the folder's name."""
    command = [sys.executable, "-c", HOLD, str(root), str(slot)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=ROOT, **pipes) as process:
        yield process, process.stdout.readline().strip()
        process.kill()


def test_processes_of_one_host_never_share_a_folder(tmp_path):
    three_others = holder(tmp_path, 0), holder(tmp_path, 0), holder(tmp_path, 1)
    with three_others[0] as (_, one), three_others[1] as (_, two), three_others[2] as (_, three):
        mine = own_folder(tmp_path, 0).path.name
    assert [one, two, three, mine] == ["slot-0", "slot-1", "slot-2", "slot-3"]


def test_a_killed_process_leaves_its_folder_to_the_next(tmp_path):
    with holder(tmp_path, 0) as (process, first):
        process.kill()
        process.wait()
        with holder(tmp_path, 0) as (_, second):
            assert first == second == "slot-0"


@pytest.mark.parametrize(("how", "kept"), [("dies", set()), ("goes on", {"whole.so", "half.so"})])
def test_what_a_process_died_compiling_is_thrown_away(tmp_path, how, kept, caplog):
    """A compiler that is killed leaves half a library, which torch would load ever after."""
    command = [sys.executable, "-c", DIE_COMPILING, str(tmp_path), how]
    subprocess.run(command, cwd=ROOT, check=False)
    with caplog.at_level(logging.WARNING):
        own = own_folder(tmp_path, 0)
    assert {path.name for path in own.path.iterdir()} == kept
    assert ("was left half written" in caplog.text) == (not kept)
    assert not own.unfinished.exists()
