"""`producer` on stores that may not be written or read: one sentence and status 2."""

import pytest

from common.run import RunKey
from common.store import StoreFilesystem, merge_run, open_run
from tests.common.permissions import allowing
from tests.common.storekit import make_run, put_part

RUN = "quiz/owner--model/origin"


def assert_denied(result, folder):
    assert result.status == 2
    assert result.out == ""
    assert result.err.startswith("error: ")
    assert result.err.count("\n") == 1
    assert str(folder) in result.err
    assert "ermission denied" in result.err


@pytest.fixture
def folder(tmp_path):
    """A store with a complete run."""
    folder = tmp_path / "runs"
    put_part(make_run(StoreFilesystem.open(str(folder)), 7), range(7))
    return folder


def test_enqueue_is_refused_before_anything_is_sent(command, folder, broker_url):
    arguments = ["enqueue", "--dataset", "webqa_mini", "--broker", broker_url, "--store", folder]
    with allowing(folder, 0o555):
        result = command(*arguments)
    assert_denied(result, folder)


@pytest.mark.parametrize("arguments", [["runs"], ["status", RUN]], ids=" ".join)
def test_a_store_that_may_be_read_is_shown(command, folder, server, arguments):
    with allowing(folder, 0o555):
        result = command(*arguments, "--json", "--store", folder)
    assert (result.status, result.err) == (0, "")
    assert '"state": "complete"' in result.out


def test_a_merged_run_that_may_be_read_is_verified(command, folder):
    merge_run(open_run(StoreFilesystem.open(str(folder)), RunKey.parse(RUN)))
    with allowing(folder, 0o555):
        assert command("verify", RUN, "--store", folder).status == 0


def test_merging_into_a_store_that_may_only_be_read_is_refused(command, folder):
    with allowing(folder, 0o555):
        result = command("merge", RUN, "--store", folder)
    assert_denied(result, folder)


@pytest.mark.parametrize(
    "arguments", [["runs"], ["status", RUN], ["merge", RUN], ["verify", RUN]], ids=" ".join
)
def test_a_store_that_may_not_be_read_is_refused(command, folder, arguments):
    with allowing(folder, 0o000):
        result = command(*arguments, "--store", folder)
    assert_denied(result, folder)
