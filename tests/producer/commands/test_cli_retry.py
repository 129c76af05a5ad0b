"""`producer retry`: what it says, and how it ends."""

import pytest

from common.store import StoreFilesystem, merge_run, missing_rows
from tests.common.storekit import make_run, put_part

RUN = "quiz/owner--model/origin"


@pytest.fixture
def run(server, tmp_path):
    """Seven rows: 2 failed of a worker's fault, 3 of its own."""
    run = make_run(StoreFilesystem.open(str(tmp_path / "runs")), 7)
    put_part(run, range(7), failed=[2], by_sample=[3])
    merge_run(run)
    return run


def test_it_says_how_many_rows_are_answered_again(command, run):
    assert command("retry", RUN) == (0, f"{RUN}: failed rows that are answered again: 1\n", "")
    assert missing_rows(run).tolist() == [2]


def test_all_answers_those_of_their_own_fault_again_too(command, run):
    assert command("retry", RUN, "--all").out == f"{RUN}: failed rows that are answered again: 2\n"
    assert missing_rows(run).tolist() == [2, 3]


def test_nothing_to_retry_is_no_error(command, run):
    put_part(run, [2, 3])
    result = command("retry", RUN)
    assert result == (0, f"{RUN}: nothing to retry, no row failed\n", "")


def test_a_run_that_is_not_there_is_an_error(command, server):
    result = command("retry", "quiz/owner--model/nothing")
    assert result.status == 2
    assert "is not in the store" in result.err


def test_merge_and_status_say_that_rows_are_answered_again(command, run):
    command("retry", RUN)
    result = command("merge", RUN)
    assert result.status == 2
    assert "is being retried, 1 of its 7 rows" in result.err
    assert "1 of them are being answered again" in command("merge", RUN, "--partial").out
    assert "1 again" in command("status", RUN).out
