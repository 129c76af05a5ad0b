"""`producer enqueue` as it is typed: what it prints and sends, and what it never imports."""

import subprocess
import sys

import pytest

from common.run import RunKey
from common.store import StoreFilesystem, open_run
from producer.datasets.hub import HubError
from tests.common.storekit import put_part

SMALL = ["enqueue", "--dataset", "webqa_mini", "--model", "smollm2_135m_it", "--max-samples", "9"]
QUEUE = "se:model.smollm2_135m_it"

SCRIPT = """
import sys
from producer.cli import main
main()
loaded = {name.partition('.')[0] for name in sys.modules}
assert 'celery' in loaded and 'pyarrow' in loaded
print('heavy:', sorted(loaded & {'torch', 'transformers', 'datasets', 'worker', 'gguf'}))
"""


@pytest.fixture
def folder(tmp_path):
    return StoreFilesystem.open(str(tmp_path / "runs"))


def test_a_fresh_interpreter_enqueues_without_torch(server):
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT, *SMALL], capture_output=True, text=True, timeout=60
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.splitlines()[-1] == "heavy: []"
    assert server.llen(QUEUE) == 1


def test_it_says_what_is_sent_and_what_was_done_before(command, server, folder):
    arguments = [*SMALL, "--method", "origin", "--method", "avg", "--shard-size", "4"]
    first = command(*arguments)
    key = "webqa_mini/smollm2_135m_it"
    assert (first.status, first.err) == (0, "")
    assert f"{key}/origin: 9 rows enqueued, 0 done before\n" in first.out
    assert f"{key}/avg-5: 9 rows enqueued, 0 done before\n" in first.out
    assert server.llen(QUEUE) == 3
    put_part(open_run(folder, RunKey.parse(f"{key}/origin")), [0, 1, 2, 3])
    again = command(*arguments)
    assert f"{key}/origin: 5 rows enqueued, 4 done before\n" in again.out
    assert f"{key}/avg-5: 9 rows enqueued, 0 done before\n" in again.out


def test_a_complete_run_is_merged_and_nothing_is_sent(command, server, folder):
    arguments = [*SMALL, "--method", "origin"]
    command(*arguments)
    server.delete(QUEUE)
    run = open_run(folder, RunKey.parse("webqa_mini/smollm2_135m_it/origin"))
    put_part(run, range(9))
    result = command(*arguments)
    assert result.status == 0
    assert "0 rows enqueued, 9 done before" in result.out
    assert server.llen(QUEUE) == 0
    assert folder.exists(run.feather)


@pytest.mark.parametrize(("limit", "status"), [("0.2", 1), ("0.4", 0), (None, 1)])
def test_more_failed_rows_than_allowed_end_with_1(command, server, folder, limit, status):
    arguments = [*SMALL, "--method", "origin", "--wait"]
    arguments += ["--failure-limit", limit] if limit else []
    command(*SMALL, "--method", "origin")
    run = open_run(folder, RunKey.parse("webqa_mini/smollm2_135m_it/origin"))
    put_part(run, range(9), failed=[1, 4, 7])
    result = command(*arguments)
    assert result.status == status
    assert ("3 of 9 rows failed" in result.err) == bool(status)
    assert folder.exists(run.feather)


def test_a_note_tells_that_the_examples_are_not_the_expected_ones(
    command, server, quiz, monkeypatch
):
    def fail(*_, **__):
        raise HubError("the hub is away")

    monkeypatch.setattr("producer.datasets.hub.load_split", fail)
    result = command("enqueue", "--dataset", "webqa", "--data", quiz, "--method", "origin")
    assert "5 bundled ones instead of" in result.out
    assert "the hub is away" in result.out
    assert "webqa/llama3.2_3b_it/origin: 11 rows enqueued" in result.out
