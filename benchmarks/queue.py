"""The queue and the store at size: enqueueing, Redis, tasks through a worker, merging.

    python -m benchmarks.queue

Each step runs in its own processes: the commands are the producer's, the worker is Celery's, and
only its engine is a stub. The run, its store and its Redis server live in a temporary folder that
is deleted at the end.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import redis

from benchmarks.measure import largest_child_peak, peak_mib, watched
from benchmarks.options import Benchmark
from benchmarks.report import BenchmarkReport, BenchmarkRow, describe_machine
from common.broker import all_queues
from common.errors import UsageError
from common.limits import MAX_ROWS
from common.planning.sharding import messages_for
from common.records import ResultRow
from common.run import RunKey
from common.run_counters import RunCounters
from common.store import PartInfo, RunFolder, StoreFilesystem
from common.store.parts import write_part
from producer.local import child, embedded_broker, tail

ROOT = Path(__file__).parents[1]
MODEL = "smollm2_135m_it"
DATASET = "big"
KEY = f"{DATASET}/{MODEL}/flex_attention-3"
LIMIT_SECONDS = 900.0
_POLL_SECONDS = 0.01

NOTES = (
    "the worker is started when all tasks are queued, and timed once a tenth of them are done",
    "parts that the worker did not come to are written in its place, untimed, before the merge",
)


@click.command(cls=Benchmark)
@click.option(
    "--rows",
    type=click.IntRange(10, 10_000_000),
    default=1_000_000,
    show_default=True,
    help="Samples of the run.",
)
@click.option(
    "--tasks",
    type=click.IntRange(10),
    default=2_000,
    show_default=True,
    help="Tasks through the worker, at most as many as there are.",
)
@click.option(
    "--shard-size",
    type=click.IntRange(1, MAX_ROWS),
    default=64,
    show_default=True,
    help="Samples of a task.",
)
def main(rows: int, tasks: int, shard_size: int) -> None:
    """Seconds and peak memory of enqueueing, working and merging, and what Redis holds."""
    tasks = min(tasks, -(-rows // shard_size))
    with embedded_broker() as url, TemporaryDirectory(prefix="self-ensemble-queue-") as folder:
        measured = list(Steps(Path(folder), url, rows).measure(tasks, shard_size))
    claim = f"{rows:,} samples in 3 paraphrases, {shard_size} to a task"
    BenchmarkReport(claim, describe_machine(), {}, measured, notes=NOTES).show()


class Steps:
    """One run, from the question file to the merged file. `measure` yields a row for each step."""

    def __init__(self, folder: Path, url: str, rows: int) -> None:
        self._folder, self._url, self._rows = folder, url, rows
        self._store = folder / "store"
        self._environment = environment(self._store, url)

    def measure(self, tasks: int, shard_size: int) -> Iterator[BenchmarkRow]:
        yield from self._enqueue(shard_size)
        yield from self._work(tasks, shard_size)
        fill(RunFolder(StoreFilesystem.open(str(self._store)), RunKey.parse(KEY)))
        seconds, peak = run_producer(["merge", KEY], self._environment)
        yield row("merge", self._rows, seconds, peak)

    def _enqueue(self, shard_size: int) -> Iterator[BenchmarkRow]:
        data = self._folder / f"{DATASET}.jsonl"
        write_questions(data, self._rows)
        before = self._memory()["used_memory"]
        arguments = enqueue_arguments(data, shard_size)
        seconds, peak = run_producer(arguments, self._environment)
        queued = self._memory()["used_memory"] - before
        yield row("enqueue", self._rows, seconds, peak)
        server = self._memory()
        yield row("Redis", self._rows, None, peak_mib(server["process_id"]), queued / self._rows)

    def _memory(self) -> dict[str, Any]:
        client: Any = redis.Redis.from_url(self._url)
        return {**client.info("memory"), **client.info("server")}

    def _work(self, tasks: int, shard_size: int) -> Iterator[BenchmarkRow]:
        queued = -(-self._rows // shard_size)
        counters, early = RunCounters.connect(self._url, "se"), max(1, tasks // 10)
        with stub_worker(self._folder, self._environment) as worker:
            started = clock_when(counters, queued - early, worker)
            seconds = clock_when(counters, queued - tasks, worker) - started
            peaks = peak_mib(worker.pid), largest_child_peak(worker.pid)
        timed_tasks = tasks - early
        rate = {"tasks/s": timed_tasks / seconds}
        yield {**row("worker", timed_tasks * shard_size, seconds, peaks[0]), **rate}
        yield row("the worker's task process", None, None, peaks[1])


def row(
    step: str,
    rows: int | None,
    seconds: float | None,
    peak: float | None,
    redis_bytes: float | None = None,
) -> BenchmarkRow:
    """Row of one step. redis_bytes: of one sample in Redis."""
    return {
        "step": step,
        "rows": rows,
        "seconds": seconds,
        "rows/s": rows / seconds if rows and seconds else None,
        "tasks/s": None,
        "peak MiB": peak,
        "bytes/sample": redis_bytes,
    }


def environment(store: Path, broker: str) -> dict[str, str]:
    """Environment of every process of the benchmark."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    settings = {"SELF_ENSEMBLE_STORE": str(store), "SELF_ENSEMBLE_BROKER": broker}
    return {**os.environ, **settings, "PYTHONPATH": path}


def write_questions(path: Path, rows: int) -> None:
    """Write a question file with three paraphrases in each row."""
    with path.open("w") as file:
        for i in range(rows):
            question = {
                "uuid": f"q{i}", "question": f"what is number {i}?", "answers": [str(i)],
                "paraphrases": [f"which number is {i}?", f"tell me number {i}"],
            }  # fmt: skip
            file.write(json.dumps(question) + "\n")


def enqueue_arguments(data: Path, shard_size: int) -> list[str]:
    """Arguments of the producer that enqueue a question file."""
    return [
        "enqueue", "--dataset", DATASET, "--data", str(data), "--num-few-shot", "0",
        "--num-paraphrases", "3", "--model", MODEL, "--shard-size", str(shard_size),
    ]  # fmt: skip


def run_producer(arguments: list[str], env: dict[str, str]) -> tuple[float, float | None]:
    """Run the producer; return its seconds and its peak in MiB.

    Raises UsageError if it fails.
    """
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
    """Run a worker whose engine is a stub. Raises UsageError if it has died by the end."""
    command = [sys.executable, "-m", "celery", "-A", "benchmarks.stub", "worker"]
    command += ["--without-gossip", "--without-mingle", "--loglevel=WARNING"]
    log = folder / "worker.log"
    with child(command, log, env) as process:
        yield process
        if process.poll() is not None:
            raise UsageError(f"the worker ended early; its last lines:\n{tail(log)}")


def fill(run: RunFolder) -> None:
    """Write the missing parts of a run as a worker would, with invented answers."""
    for message in messages_for([run]):
        rows = tuple(message.row_numbers())
        info = PartInfo(
            rows=rows, failed=(), fingerprint=run.record.fingerprint, model_identity="stub",
            started=0.0, finished=1.0, choices={}, counts={}, worker="benchmark",
        )  # fmt: skip
        write_part(run, info, map(_result, rows))


def _result(row: int) -> ResultRow:
    return ResultRow(
        row, 0, f"q{row}", prediction=str(row), generation=f" {row}\n", tokens=[1, 2, 3, 4, 5],
        token_logprobs=[-0.25] * 5, logprob=-1.25, finish_reason="stop:\\n",
    )  # fmt: skip


def clock_when(counters: RunCounters, left: int, worker: "subprocess.Popen[bytes]") -> float:
    """Wait until at most `left` messages are queued or in work; return the perf_counter.

    Raises UsageError if that takes longer than LIMIT_SECONDS.
    """
    deadline = time.perf_counter() + LIMIT_SECONDS
    while counters.queue_length(all_queues()) > left:
        if time.perf_counter() > deadline:
            raise UsageError(f"more than {left} tasks are left after {LIMIT_SECONDS:.0f} s")
        if worker.poll() is not None:
            break
        time.sleep(_POLL_SECONDS)
    return time.perf_counter()


if __name__ == "__main__":
    # Clean up after `timeout` and `kill`, too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    main()
