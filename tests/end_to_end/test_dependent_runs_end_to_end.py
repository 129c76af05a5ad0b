"""One command writes paraphrases, measures confidences and answers, each run after another."""

import json
from pathlib import Path

import pyarrow.feather as feather
import pytest

from common.run import RunKey
from common.settings import Settings
from common.store import RunFolder, StoreFilesystem, verify_run
from tests.conftest import numbered_questions, write_questions
from tests.end_to_end.conftest import producer, running_worker

DEPENDENT = ("flex_attention-3", "weighted_avg-3")
NAMES = ("origin", "paraphrases-3", "confidence-3", *DEPENDENT)
COUNT = 5


@pytest.fixture
def options(tmp_path: Path, tiny_model: Path) -> list[object]:
    data = write_questions(tmp_path / "bare.jsonl", numbered_questions(COUNT, paraphrases=1))
    methods = [
        part for m in ("origin", "flex_attention", "weighted_avg") for part in ("--method", m)
    ]
    return [
        "enqueue", "--dataset", "bare", "--data", data, "--model", tiny_model, *methods,
        "--num-paraphrases", 3, "--num-draws", 3, "--num-few-shot", 0, "--max-new-tokens", 4,
        "--dtype", "float32", "--shard-size", 2, "--wait",
    ]  # fmt: skip


def table(settings: Settings, name: str) -> list[dict[str, object]]:
    run = RunFolder(StoreFilesystem.open(settings.store), RunKey("bare", "tiny-llama", name))
    assert verify_run(run) == []
    rows: list[dict[str, object]] = feather.read_table(run.feather_path).to_pylist()
    return rows


def test_one_command_ends_with_every_run_merged(settings, options, tmp_path):
    settings = settings.model_copy(update={"attention": "sdpa"})
    with running_worker(settings, tmp_path / "worker.log"):
        output = producer(*options, settings=settings)
        assert all(
            f"{name}: waits for another run" in output for name in ("confidence-3", *DEPENDENT)
        )
        listed = json.loads(producer("runs", "--json", settings=settings))
        again = producer(*options, settings=settings)
    assert sorted(run["run"] for run in listed) == sorted(f"bare/tiny-llama/{n}" for n in NAMES)
    assert "0 rows enqueued, 5 done before" in again
    rows = {name: table(settings, name) for name in NAMES}
    assert {name: len(table_rows) for name, table_rows in rows.items()} == {
        "origin": COUNT, "paraphrases-3": COUNT, "confidence-3": 3 * COUNT,
        "flex_attention-3": COUNT, "weighted_avg-3": COUNT,
    }  # fmt: skip
    written = [row["paraphrases"] for row in rows["paraphrases-3"]]
    for name in DEPENDENT:
        assert [row["paraphrases"] for row in rows[name]] == written
    measured = [row["confidence"] for row in rows["confidence-3"]]
    read = [row["confidences"] for row in rows["weighted_avg-3"]]
    assert read == [measured[first : first + 3] for first in range(0, len(measured), 3)]
