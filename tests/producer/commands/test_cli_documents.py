"""What `producer` prints when all is well: documents for scripts, and tables."""

import json

import pytest

from common.store import StoreFilesystem, merge_run
from tests.common.storekit import make_run, put_part, put_parts_seconds_apart

RUN = "quiz/owner--model/origin"
DOCUMENT = {
    "run": RUN,
    "state": "queued",
    "expected": 7,
    "ok": 0,
    "failed": 0,
    "missing": 7,
    "again": 0,
    "rate": None,
    "seconds_left": None,
    "feather": None,
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SELF_ENSEMBLE_STORE", str(tmp_path / "runs"))
    return StoreFilesystem.open(str(tmp_path / "runs"))


def printed(result):
    """The one JSON document of a command that went well."""
    assert (result.status, result.err, result.out.count("\n")) == (0, "", 1)
    return json.loads(result.out)


def test_an_empty_store_has_no_runs(command, folder):
    assert printed(command("runs", "--json")) == []
    assert command("runs").out == f"no runs in {folder.uri}\n"


def test_the_document_of_a_run_that_waits(command, folder):
    make_run(folder, 7)
    assert printed(command("status", RUN, "--json")) == DOCUMENT
    assert printed(command("runs", "--json")) == [DOCUMENT]


def test_the_document_of_a_run_in_the_middle(command, folder):
    put_parts_seconds_apart(make_run(folder, 7), 1.0, [5], [0, 1])
    assert printed(command("status", RUN, "--json")) == DOCUMENT | {
        "state": "running",
        "ok": 1,
        "failed": 2,
        "missing": 4,
        "rate": pytest.approx(2.0),
        "seconds_left": pytest.approx(2.0),
    }


def test_the_document_of_a_merged_run_tells_where_its_file_is(command, folder):
    run = make_run(folder, 7)
    put_part(run, range(7))
    merge_run(run)
    assert printed(command("status", RUN, "--json")) == DOCUMENT | {
        "state": "merged",
        "ok": 7,
        "missing": 0,
        "feather": f"{folder.root}/{RUN}.feather",
    }


def test_the_store_option_goes_before_the_setting(command, folder, tmp_path):
    make_run(folder, 7)
    assert printed(command("runs", "--json", "--store", tmp_path / "other")) == []


def test_runs_lists_every_run_on_a_line_of_its_own(command, folder):
    put_parts_seconds_apart(make_run(folder, 7), 2.0, [0], [2, 1, 6])
    make_run(folder, 5, name="other")
    result = command("runs")
    assert result.status == 0
    lines = [line for line in result.out.splitlines() if "quiz/owner--model/" in line]
    cells = [[cell.strip() for cell in line.strip("│").split("│")] for line in lines]
    assert cells == [
        [RUN, "running", "7", "2", "2", "3", "1.5/s", "2 s"],
        ["quiz/owner--model/other", "queued", "5", "0", "0", "5", "-", "-"],
    ]


def test_status_shows_the_same_line(command, folder):
    put_part(make_run(folder, 7), range(3), failed=[2])
    assert command("status", RUN).out == command("runs").out


def test_watching_a_merged_run_ends_at_once(command, folder):
    run = make_run(folder, 7)
    put_part(run, range(7))
    merge_run(run)
    result = command("status", RUN, "--watch")
    assert result.status == 0
    assert "merged" in result.out


def test_a_table_that_goes_into_a_file_is_plain_text(command, folder):
    make_run(folder, 7)
    assert "\x1b" not in command("runs").out
