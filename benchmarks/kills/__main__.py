"""Killed workers: seconds until a shard is taken up again, and a soak of healthy ones.

    python -m benchmarks.kills --kills 50

Pairs of real workers, each pair on a namespace of its own, with a server of their own. The worker
that holds a shard is killed with all its processes (SIGKILL) at a random moment; the clock runs
until the other worker's task has begun. Then shards are held for three visibility timeouts, in
which nothing may start them again.
"""

import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from benchmarks.kills.recovery import seconds_of_kills, share
from benchmarks.kills.soak import (
    leave_alone,
    load_processors,
    starts_of_a_shard,
    stop_and_continue,
)
from benchmarks.kills.worker_pair import worker_pair
from benchmarks.options import Benchmark
from benchmarks.report import BenchmarkReport, BenchmarkRow, describe_machine
from common.settings import Settings
from producer.local import embedded_broker

SEED = 15
SOAK_TIMEOUTS = 3

NOTES = (
    "seconds: from SIGKILL of the worker's process group until the shard's task began elsewhere",
    f"a healthy shard is held for {SOAK_TIMEOUTS} visibility timeouts, and must be started once",
)


@click.command(cls=Benchmark)
@click.option("--kills", type=click.IntRange(1), default=50, show_default=True)
@click.option("--pairs", type=click.IntRange(1, 16), default=2, show_default=True,
              help="Pairs of workers that are measured side by side.")  # fmt: skip
@click.option("--timeout", "timeout", type=click.IntRange(3), default=None,
              help="Visibility timeout.  [default: the product's]")  # fmt: skip
@click.option("--soak/--no-soak", default=True, show_default=True)
def main(kills: int, pairs: int, timeout: int | None, soak: bool) -> None:
    """Seconds until a killed worker's shard is taken up again, and starts of healthy shards."""
    with embedded_broker() as url, TemporaryDirectory(prefix="self-ensemble-kills-") as folder:
        changes = {"broker": url, "visibility_timeout": timeout}
        settings = Settings.model_validate({k: v for k, v in changes.items() if v is not None})
        pairs = min(pairs, kills)
        rows = [_killed(settings, Path(folder), kills, pairs)]
        if soak:
            rows += _soaked(settings, Path(folder))
    claim = f"visibility timeout {settings.visibility_timeout} s, {pairs} pairs of workers"
    BenchmarkReport(claim, describe_machine(), {"moments": SEED}, rows, notes=NOTES).show()


def _killed(settings: Settings, folder: Path, kills: int, pairs: int) -> BenchmarkRow:
    counts = [kills // pairs + (number < kills % pairs) for number in range(pairs)]
    with ThreadPoolExecutor(pairs) as pool:
        lists = pool.map(lambda n: _kills_of_pair(settings, folder, n, counts[n]), range(pairs))
        seconds = [value for values in lists for value in values]
    return {
        **_row("killed at a random moment"), "shards": kills, "median s": share(seconds, 0.5),
        "90 % s": share(seconds, 0.9), "worst s": max(seconds), "fastest s": min(seconds),
    }  # fmt: skip


def _kills_of_pair(settings: Settings, folder: Path, number: int, count: int) -> list[float]:
    own = settings.model_copy(update={"namespace": f"kills-{number}"})
    with worker_pair(own, folder) as pair:
        return seconds_of_kills(pair, count, settings.visibility_timeout / 2, SEED + number)


def _soaked(settings: Settings, folder: Path) -> Iterator[BenchmarkRow]:
    timeout = settings.visibility_timeout
    stopped = 0.8 * (timeout - timeout / 4)
    ways: list[tuple[str, Callable[[int, float], None]]] = [
        ("held, left alone", leave_alone),
        ("held, every core busy", load_processors),
        (f"held, main process stopped {stopped:.3g} s at a time", stop_and_continue(stopped)),
    ]
    own = settings.model_copy(update={"namespace": "kills-soak"})
    with worker_pair(own, folder) as pair:
        for number, (name, disturb) in enumerate(ways):
            starts = starts_of_a_shard(pair, number, SOAK_TIMEOUTS * timeout, disturb)
            yield {**_row(name), "shards": 1, "starts": starts}


def _row(name: str) -> BenchmarkRow:
    names = ("shards", "median s", "90 % s", "worst s", "fastest s", "starts")
    return {"worker": name, **dict.fromkeys(names)}


if __name__ == "__main__":
    # Clean up after `timeout` and `kill`, too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    main()
