"""The whole system: an embedded broker, `celery -A worker worker` as a process, the command."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from common.settings import Settings
from producer.local import child, tail
from tests.conftest import numbered_questions, write_questions

PRODUCER = [sys.executable, "-m", "producer"]
DEADLINE = 400.0


def until(condition: Callable[[], object], what: str, log: Path | None = None) -> None:
    """Wait for a condition; on time-out fail with its name and the end of the log."""
    end = time.monotonic() + DEADLINE
    while not condition():
        if time.monotonic() > end:
            pytest.fail(f"{what} did not happen\n{tail(log, 40) if log else ''}")
        time.sleep(0.05)


def producer(*arguments: object, settings: Settings, check: bool = True) -> str:
    """Run the `producer` command; returns its standard output."""
    environment = {**os.environ, **settings.to_environment(), "COLUMNS": "160"}
    result = subprocess.run(
        [*PRODUCER, *map(str, arguments)], env=environment, capture_output=True, text=True,
        timeout=DEADLINE, check=False,
    )  # fmt: skip
    assert not check or result.returncode == 0, result.stdout + result.stderr
    return result.stdout if check else result.stdout + result.stderr


@dataclass
class Worker:
    """A running worker: its main process and its log."""

    process: "subprocess.Popen[bytes]"
    log: Path

    def model_process(self) -> psutil.Process:
        """The child that holds the model: the largest one."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        return max(children, key=lambda process: process.memory_info().rss)


@contextmanager
def running_worker(settings: Settings, log: Path, *options: str) -> Iterator[Worker]:
    """Run `celery -A worker worker`; end it and all its children after the block."""
    command = [sys.executable, "-m", "celery", "-A", "worker", "worker", "--loglevel=INFO"]
    environment = {**os.environ, **settings.to_environment()}
    with child([*command, "-n", f"{log.stem}@test", *options], log, environment) as process:
        yield Worker(process, log)


@pytest.fixture
def settings(tmp_path: Path, broker_url: str) -> Settings:
    return Settings(
        store=str(tmp_path / "store"), broker=broker_url, visibility_timeout=6, device="cpu"
    )


def avg_options(
    folder: Path, model: Path, count: int, *, shard_size: int, max_new_tokens: int
) -> list[object]:
    """Options that make one run of `avg` over three paraphrases of numbered questions."""
    data = write_questions(folder / "numbers.jsonl", numbered_questions(count))
    return [
        "--dataset", "numbers", "--data", data, "--model", model, "--method", "avg",
        "--num-paraphrases", 3, "--num-few-shot", 0, "--dtype", "float32",
        "--max-new-tokens", max_new_tokens, "--shard-size", shard_size,
    ]  # fmt: skip
