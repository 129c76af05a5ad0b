"""Models that are damaged or were replaced: the command reports them at once."""

import re
import shutil
import time
from pathlib import Path

import pytest

from common.settings import Settings
from tests.conftest import numbered_questions, write_questions
from tests.end_to_end.conftest import producer
from tests.worker.checkpoints import copied, cut, with_tensors


@pytest.fixture
def model(tmp_path: Path, tiny_model: Path) -> Path:
    return copied(tiny_model, tmp_path / "own", lambda folder: None)


@pytest.fixture
def options(tmp_path: Path, model: Path) -> list[object]:
    data = write_questions(tmp_path / "numbers.jsonl", numbered_questions(5))
    return [
        "--dataset", "numbers", "--data", data, "--model", model, "--method", "origin",
        "--max-new-tokens", 4, "--dtype", "float32", "--num-few-shot", 0,
    ]  # fmt: skip


def test_weights_that_are_cut_off_end_a_run_with_the_name_of_the_file_and_of_the_log(
    settings: Settings, options: list[object], model: Path
) -> None:
    """A regression: the command once ended after a minute and named a log that was deleted."""
    cut("model.safetensors", 20_000)(model)
    started = time.monotonic()
    output = producer("run", *options, settings=settings, check=False)
    assert "error: numbers/own/origin was stopped at " in output
    assert f": model own: {model}/model.safetensors (20,000 bytes) is damaged" in output
    assert "sending them again" not in output
    assert time.monotonic() - started < 60
    kept_log = re.search(r"the worker's log is kept: (\S+)", output)
    assert kept_log is not None
    log = Path(kept_log[1])
    assert "model.safetensors (20,000 bytes) is damaged" in log.read_text()
    shutil.rmtree(log.parent)


def test_replaced_weights_are_reported_before_the_old_answers_and_overwrite_answers_anew(
    settings: Settings, options: list[object], model: Path
) -> None:
    def double(folder: Path) -> None:
        with_tensors(lambda t: {k: v * 2 for k, v in t.items() if k})(folder)

    first = producer("run", *options, settings=settings)
    double(model)
    refused = producer("run", *options, settings=settings, check=False)
    assert f"error: model folder {model} has changed since run numbers/own/origin" in refused
    assert "exact" not in refused
    anew = producer("run", *options, "--overwrite", settings=settings)
    assert "exact" in first
    assert "exact" in anew
    assert "exact" in producer("run", *options, settings=settings)
