"""`producer runs` over damaged files: one line names each, and the other runs are listed."""

import json

import pytest

from common.store import StoreFilesystem
from tests.common.storekit import make_run, put_part

GOOD = ["quiz/owner--model/avg-1", "quiz/owner--model/origin"]
BAD = "quiz/owner--model/bad-1"


@pytest.fixture
def folder(tmp_path, server):
    return StoreFilesystem.open(str(tmp_path / "runs"))


@pytest.fixture(params=["run.json", "empty run.json", "dependent"])
def damaged(request, folder):
    """A store of three runs, one of them damaged; the file that is."""
    for key in GOOD:
        put_part(make_run(folder, 7, name=key.rpartition("/")[2]), range(3))
    if request.param == "dependent":
        path, whole = f"{BAD}.after/owner--model/paraphrases-5.json", b"{}"
    else:
        run = make_run(folder, 7, name="bad-1")
        path, whole = run.file("run.json"), folder.read_bytes(run.file("run.json"))
        put_part(run, range(3))
    folder.write_bytes(path, b"" if "empty" in request.param else whole[: len(whole) // 2])
    return path


def test_the_other_runs_are_listed_and_one_line_names_the_damaged_file(command, damaged):
    done = command("runs")
    assert (done.status, done.err) == (0, "")
    assert all(key.rpartition("/")[2] in done.out for key in GOOD)
    (line,) = [line for line in done.out.splitlines() if "is damaged" in line]
    assert line.startswith(f"{BAD} is damaged: ")
    assert damaged in line


def test_the_document_has_every_run(command, damaged):
    done = command("runs", "--json")
    assert (done.status, done.err) == (0, "")
    *good, bad = json.loads(done.out)
    assert [(run["run"], run["state"]) for run in good] == [(key, "running") for key in GOOD]
    assert (bad["run"], bad["state"]) == (BAD, "damaged")
    assert damaged in bad["why"]
