"""A worker process without Celery: a tiny model, an embedded broker, runs made by `prepare`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from common.messages import SendShards, ShardMessage
from common.run_counters import RunCounters
from common.settings import Settings
from common.store import RunFolder, StoreFilesystem
from producer.prepare import Prepared, prepare
from producer.request import RunRequest
from tests.conftest import numbered_questions, write_questions
from worker.executor import ShardExecutor, StartMerge
from worker.merging import Merger
from worker.shards import Shard, open_shard

MakeRuns = Callable[..., Prepared]


@pytest.fixture
def settings(tmp_path: Path, broker_url: str) -> Settings:
    """A store and a namespace of this test's own, so that it finds no key of another test."""
    return Settings(
        store=str(tmp_path / "store"),
        broker=broker_url,
        namespace=f"test-{uuid4().hex[:12]}",
        device="cpu",
        attention="sdpa",
    )


@pytest.fixture
def sent() -> list[tuple[ShardMessage, str]]:
    """The messages that were sent when a run was merged, each with its queue."""
    return []


def send_into(sent: list[tuple[ShardMessage, str]]) -> SendShards:
    return lambda messages, queue: sent.extend((message, queue) for message in messages)


@pytest.fixture
def executor(settings: Settings, sent: list[tuple[ShardMessage, str]]) -> ShardExecutor:
    store = StoreFilesystem.open(settings.store)
    counters = RunCounters.connect(settings.broker, settings.namespace)
    merger = Merger(store, counters, send_into(sent))
    return ShardExecutor(settings, store, counters, merging_here(merger))


def merging_here(merger: Merger) -> StartMerge:
    """Merge right here, before the shard returns; workers have a process of its own for it."""
    return lambda keys, anew: all(map(merger.finish, keys))


@pytest.fixture
def make_runs(settings: Settings, tmp_path: Path, tiny_model: Path) -> MakeRuns:
    """Prepare runs over questions; options are those of RunRequest."""

    def make(rows: list[dict[str, object]] | None = None, **changed: Any) -> Prepared:
        data = write_questions(tmp_path / "questions.jsonl", rows or numbered_questions(7))
        options: dict[str, Any] = {
            "dataset": "numbers", "data": data, "few_shot": None, "num_few_shot": 0,
            "model": str(tiny_model), "methods": ("avg", "per_prompt", "flex_attention"),
            "num_paraphrases": 3, "num_manual": None, "num_auto": None,
            "layout": "concat", "positions": None, "max_new_tokens": 5,
            "max_samples": None, "shard_size": 64, "dtype": "float32", "overwrite": False,
        }  # fmt: skip
        prepared = prepare(
            RunRequest(**{**options, **changed}), StoreFilesystem.open(settings.store)
        )
        for run in prepared.runs:
            RunCounters.connect(settings.broker, settings.namespace).reset(str(run.key), [])
        return prepared

    return make


def shard_of(runs: tuple[RunFolder, ...], rows: list[int]) -> Shard:
    """The shard that a message for these rows opens."""
    ranges = [[row, row + 1] for row in rows]
    return open_shard(runs[0].store, [str(run.key) for run in runs], ranges)
