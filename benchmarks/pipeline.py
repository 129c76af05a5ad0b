"""The steps of a run at size, each in processes of its own: what the `queue` benchmark times.

The commands are the producer's, the worker is Celery's; only its engine is a stub.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.measure import watched
from common.broker import all_queues
from common.errors import UsageError
from common.planning.sharding import messages_for
from common.records import ResultRow
from common.run_counters import RunCounters
from common.store import PartInfo, RunFolder
from common.store.parts import write_part
from producer.local import child, tail

ROOT = Path(__file__).parents[1]
MODEL = "smollm2_135m_it"
DATASET = "big"
KEY = f"{DATASET}/{MODEL}/flex_attention-3"
LIMIT_SECONDS = 900.0
_POLL_SECONDS = 0.01


def environment(store: Path, broker: str) -> dict[str, str]:
    """Of every process of the benchmark."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    settings = {"SELF_ENSEMBLE_STORE": str(store), "SELF_ENSEMBLE_BROKER": broker}
    return {**os.environ, **settings, "PYTHONPATH": path}


def write_questions(path: Path, rows: int) -> None:
    """A question file of three paraphrases a row."""
    with path.open("w") as file:
        for i in range(rows):
            question = {
                "uuid": f"q{i}", "question": f"what is number {i}?", "answers": [str(i)],
                "paraphrases": [f"which number is {i}?", f"tell me number {i}"],
            }  # fmt: skip
            file.write(json.dumps(question) + "\n")


def enqueue_arguments(data: Path, shard_size: int) -> list[str]:
    """Of the producer, for the questions of a file."""
    return [
        "enqueue", "--dataset", DATASET, "--data", str(data), "--num-few-shot", "0",
        "--num-paraphrases", "3", "--model", MODEL, "--shard-size", str(shard_size),
    ]  # fmt: skip


def run_producer(arguments: list[str], env: dict[str, str]) -> tuple[float, float | None]:
    """Run the command; seconds, and its peak MiB."""
    command = [sys.executable, "-m", "producer", *arguments]
    started = time.perf_counter()
    with subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL) as process:
        with watched(process.pid) as peaks:
            status = process.wait()
        seconds = time.perf_counter() - started
    if status:
        raise UsageError(f"`producer {arguments[0]}` ended with the status {status}")
    return seconds, peaks[-1] if peaks else None


@contextmanager
def stub_worker(folder: Path, env: dict[str, str]) -> Iterator["subprocess.Popen[bytes]"]:
    """A worker whose engine is a stub; raises UsageError if it has died by the end."""
    command = [sys.executable, "-m", "celery", "-A", "benchmarks.stub", "worker"]
    command += ["--without-gossip", "--without-mingle", "--loglevel=WARNING"]
    log = folder / "worker.log"
    with child(command, log, env) as process:
        yield process
        if process.poll() is not None:
            raise UsageError(f"the worker ended early; its last lines:\n{tail(log)}")


def fill(run: RunFolder) -> None:
    """Write the parts of all that is missing, as a worker would, with answers made up."""
    for message in messages_for([run]):
        rows = tuple(message.row_numbers())
        info = PartInfo(
            rows=rows, failed=(), fingerprint=run.record.fingerprint, model_identity="stub",
            started=0.0, finished=1.0, choices={}, counts={}, worker="benchmark",
        )  # fmt: skip
        write_part(run, info, map(_answer, rows))


def _answer(row: int) -> ResultRow:
    return ResultRow(
        row, 0, f"q{row}", prediction=str(row), generation=f" {row}\n", tokens=[1, 2, 3, 4, 5],
        token_logprobs=[-0.25] * 5, logprob=-1.25, finish_reason="newline",
    )  # fmt: skip


def clock_when(counters: RunCounters, left: int, worker: "subprocess.Popen[bytes]") -> float:
    """When at most `left` messages are queued or in work, on the clock of perf_counter."""
    deadline = time.perf_counter() + LIMIT_SECONDS
    while counters.queue_length(all_queues()) > left:
        if time.perf_counter() > deadline:
            raise UsageError(f"more than {left} tasks are left after {LIMIT_SECONDS:.0f} s")
        if worker.poll() is not None:
            break
        time.sleep(_POLL_SECONDS)
    return time.perf_counter()
