"""Fixtures of the tests of `producer`: question files, requests, the command in this process."""

import json
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import redis

from common.store import StoreFilesystem
from producer.cli import main
from producer.request import RunRequest

Rows = list[dict[str, Any]]


@pytest.fixture
def store(tmp_path: Path) -> StoreFilesystem:
    return StoreFilesystem.open(str(tmp_path / "store"))


@pytest.fixture
def server(broker_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> redis.Redis:
    """An empty database of the server; settings point to it and to a store in tmp_path."""
    url = f"{broker_url.removesuffix('/0')}/10"
    monkeypatch.setenv("SELF_ENSEMBLE_BROKER", url)
    monkeypatch.setenv("SELF_ENSEMBLE_STORE", str(tmp_path / "runs"))
    client = redis.Redis.from_url(url)
    client.flushdb()
    return client


@pytest.fixture
def jsonl(tmp_path: Path) -> Callable[..., Path]:
    """Write rows to a JSONL file."""

    def write(rows: Rows, name: str = "questions.jsonl") -> Path:
        path = tmp_path / name
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
        return path

    return write


@pytest.fixture
def quiz(jsonl: Callable[..., Path]) -> Path:
    """Eleven questions with three paraphrases each, the question included."""
    rows = [
        {
            "question": f"question {i}?",
            "paraphrases": [f"{i} asked so?", f"or is {i} asked so?"],
            "answers": [f"gold {i}"],
        }
        for i in range(11)
    ]
    return jsonl(rows, "quiz.jsonl")


@pytest.fixture
def ask(quiz: Path) -> Callable[..., RunRequest]:
    """Make a request for the quiz without examples; `changes` replace its fields."""

    def make(**changes: Any) -> RunRequest:
        fields: dict[str, Any] = {
            "dataset": "quiz",
            "data": quiz,
            "few_shot": None,
            "num_few_shot": 0,
            "model": "owner/model",
            "methods": ("avg",),
            "num_paraphrases": 3,
            "num_manual": None,
            "num_auto": None,
            "layout": "concat",
            "positions": None,
            "max_new_tokens": 20,
            "max_samples": None,
            "shard_size": 4,
            "dtype": "float32",
            "overwrite": False,
        }
        return RunRequest(**(fields | changes))

    return make


class CommandResult(NamedTuple):
    """Exit status and output of a command."""

    status: int
    out: str
    err: str


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., CommandResult]]:
    """Run `producer ARGUMENTS...` through its real entry point, in this process."""
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: object) -> CommandResult:
        monkeypatch.setattr(sys, "argv", ["producer", *map(str, arguments)])
        capfd.readouterr()
        status = 0
        try:
            main()
        except SystemExit as ended:
            status = int(ended.code or 0)
        return CommandResult(status, *capfd.readouterr())

    yield run
    signal.signal(signal.SIGTERM, before)
