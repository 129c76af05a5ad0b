"""Workers merge in processes of their own. The test holds the turn: a merge of any length."""

import signal
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from common.run import RunKey
from common.settings import Settings
from common.store import RunFolder, StoreFilesystem, missing_rows, verify_run
from tests.conftest import numbered_questions, write_questions
from tests.end_to_end.conftest import Worker, producer, running_worker, until
from worker.merge_process import lock_path, turn

Enqueue = Callable[..., RunFolder]


@pytest.fixture
def enqueue(settings: Settings, tmp_path: Path, tiny_model: Path) -> Enqueue:
    """Enqueue a run over six questions, shards of two."""
    data = write_questions(tmp_path / "numbers.jsonl", numbered_questions(6))

    def make(method: str = "avg") -> RunFolder:
        producer(
            "enqueue", "--dataset", "numbers", "--data", data, "--model", tiny_model,
            "--method", method, "--num-paraphrases", 3, "--shard-size", 2, "--max-new-tokens", 3,
            "--dtype", "float32", "--num-few-shot", 0, settings=settings,
        )  # fmt: skip
        store = StoreFilesystem.open(settings.store)
        return RunFolder(store, RunKey("numbers", "tiny-llama", f"{method}-3"))

    return make


def answered(run: RunFolder) -> bool:
    return not missing_rows(run).size


def merging(worker: Worker) -> list[psutil.Process]:
    """The merge processes of a worker."""
    below = psutil.Process(worker.process.pid).children(recursive=True)
    return [process for process in below if "worker.merge_process" in command(process)]


def command(process: psutil.Process) -> list[str]:
    """The command line of a process; empty if it has just ended."""
    try:
        words: list[str] = process.cmdline()
    except psutil.NoSuchProcess:
        return []
    return words


def begun(worker: Worker) -> psutil.Process:
    until(lambda: merging(worker), "the merge process", worker.log)
    return merging(worker)[0]


def test_a_merge_keeps_no_worker_from_the_next_shard(settings, enqueue, tmp_path):
    settings = settings.model_copy(update={"processes": 1})
    with running_worker(settings, tmp_path / "worker.log") as worker:
        with turn(lock_path(settings.store)):
            first = enqueue("avg")
            begun(worker)
            second = enqueue("max")
            until(lambda: answered(second), "the second run", worker.log)
            assert not first.is_merged()
            until(lambda: len(merging(worker)) == 2, "the second merge", worker.log)
        until(lambda: first.is_merged() and second.is_merged(), "both merges", worker.log)
    assert [verify_run(run) for run in (first, second)] == [[], []]


def test_a_worker_that_is_told_to_end_waits_for_its_merges(settings, enqueue, tmp_path):
    run = enqueue()
    with running_worker(settings, tmp_path / "worker.log") as worker:
        with turn(lock_path(settings.store)):
            begun(worker)
            worker.process.send_signal(signal.SIGTERM)
            until(lambda: "Warm shutdown" in worker.log.read_text(), "the shutdown", worker.log)
        assert worker.process.wait(60) == 0
    assert run.is_merged()
    assert verify_run(run) == []


@pytest.mark.parametrize("end", ["SIGKILL", "SIGKILL of the merge"])
def test_a_merge_that_is_lost_with_its_worker_is_made_by_enqueueing_again(
    settings, enqueue, tmp_path, end
):
    run = enqueue()
    log = tmp_path / "worker.log"
    with running_worker(settings, log) as worker, turn(lock_path(settings.store)):
        process = begun(worker)
        files = run.store.list("", recursive=True)
        if end == "SIGKILL of the merge":
            process.kill()
        else:
            worker.process.kill()
        _, alive = psutil.wait_procs([process], timeout=60)
        assert alive == []
    assert run.store.list("", recursive=True) == files
    assert not run.is_merged()
    enqueue()
    assert run.is_merged()
    assert verify_run(run) == []
