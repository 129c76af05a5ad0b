"""The queue and the store at size: enqueueing, Redis, tasks through a worker, merging.

    python -m benchmarks.queue

A run of its own on a server of its own, in a temporary folder: nothing is left of it.
"""

import signal
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import redis

from benchmarks import pipeline
from benchmarks.measure import largest_child_peak, peak_mib
from benchmarks.options import Benchmark
from benchmarks.report import BenchmarkReport, BenchmarkRow, describe_machine
from common.messages import MAX_ROWS
from common.run import RunKey
from common.run_counters import RunCounters
from common.store import RunFolder, StoreFilesystem
from producer.local import embedded_broker

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
    """One run, from the question file to the merged file."""

    def __init__(self, folder: Path, url: str, rows: int) -> None:
        self._folder, self._url, self._rows = folder, url, rows
        self._store = folder / "store"
        self._environment = pipeline.environment(self._store, url)

    def measure(self, tasks: int, shard_size: int) -> Iterator[BenchmarkRow]:
        yield from self._enqueue(shard_size)
        yield from self._work(tasks, shard_size)
        pipeline.fill(
            RunFolder(StoreFilesystem.open(str(self._store)), RunKey.parse(pipeline.KEY))
        )
        seconds, peak = pipeline.run_producer(["merge", pipeline.KEY], self._environment)
        yield row("merge", self._rows, seconds, peak)

    def _enqueue(self, shard_size: int) -> Iterator[BenchmarkRow]:
        data = self._folder / f"{pipeline.DATASET}.jsonl"
        pipeline.write_questions(data, self._rows)
        before = self._memory()["used_memory"]
        arguments = pipeline.enqueue_arguments(data, shard_size)
        seconds, peak = pipeline.run_producer(arguments, self._environment)
        held = self._memory()["used_memory"] - before
        yield row("enqueue", self._rows, seconds, peak)
        server = self._memory()
        yield row("Redis", self._rows, None, peak_mib(server["process_id"]), held / self._rows)

    def _memory(self) -> dict[str, Any]:
        client: Any = redis.Redis.from_url(self._url)
        return {**client.info("memory"), **client.info("server")}

    def _work(self, tasks: int, shard_size: int) -> Iterator[BenchmarkRow]:
        queued = -(-self._rows // shard_size)
        counters, early = RunCounters.connect(self._url), max(1, tasks // 10)
        with pipeline.stub_worker(self._folder, self._environment) as worker:
            started = pipeline.clock_when(counters, queued - early, worker)
            seconds = pipeline.clock_when(counters, queued - tasks, worker) - started
            peaks = peak_mib(worker.pid), largest_child_peak(worker.pid)
        done = tasks - early
        rate = {"tasks/s": done / seconds}
        yield {**row("worker", done * shard_size, seconds, peaks[0]), **rate}
        yield row("the worker's task process", None, None, peaks[1])


def row(
    step: str,
    rows: int | None,
    seconds: float | None,
    peak: float | None,
    held: float | None = None,
) -> BenchmarkRow:
    """One step. held: bytes of a sample in Redis."""
    return {
        "step": step,
        "rows": rows,
        "seconds": seconds,
        "rows/s": rows / seconds if rows and seconds else None,
        "tasks/s": None,
        "peak MiB": peak,
        "bytes/sample": held,
    }


if __name__ == "__main__":
    # `timeout` and `kill` leave nothing behind either.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    main()
