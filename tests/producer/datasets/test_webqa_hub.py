"""`webqa` from the hub: the calls to it, its rows, and the error when it does not answer."""

import hashlib
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import datasets
import pytest

from common.errors import UsageError
from producer.datasets import open_dataset
from producer.datasets.dataset import few_shot_from
from producer.datasets.stream import SampleStream

ROOT = Path(__file__).parents[3]
REAL = ROOT.parent / "shared" / "data" / "webquestions_train.jsonl"
TRAIN = [{"question": f"train {i}?", "answers": [f"t{i}", "other"], "url": ""} for i in range(37)]
TEST = [{"question": f"test {i}?", "answers": [f"a{i}", "b"], "url": ""} for i in range(7)]


@pytest.fixture(autouse=True)
def _known_hub(monkeypatch):
    """Keep tests from a name server, and restore the environment afterwards."""
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: ["somewhere"])
    monkeypatch.setenv("HF_HUB_OFFLINE", "")
    monkeypatch.delenv("HF_HUB_OFFLINE")


@pytest.fixture
def hub_calls(monkeypatch):
    """The calls to a hub that holds the rows above."""
    calls = []

    def load(path, *, split, streaming):
        calls.append((path, split, streaming))
        rows = datasets.Dataset.from_list({"train": TRAIN, "test": TEST}[split])
        return rows.to_iterable_dataset() if streaming else rows

    monkeypatch.setattr(datasets, "load_dataset", load)
    return calls


def test_nothing_is_fetched_before_it_is_read(hub_calls):
    dataset = open_dataset("webqa", None)
    dataset.samples()
    assert hub_calls == []


def test_samples_are_the_test_split_as_a_stream(hub_calls):
    samples = list(open_dataset("webqa", None).samples())
    assert hub_calls == [("stanfordnlp/web_questions", "test", True)]
    assert [s.paraphrases for s in samples] == [(f"test {i}?",) for i in range(7)]
    assert samples[3].answers == ("a3", "b")
    assert samples[3].uuid == hashlib.md5(b"test 3?").hexdigest()


def test_a_bad_row_of_the_hub_is_named_by_its_number(monkeypatch):
    rows = [TEST[0], {"question": "q?", "answers": []}]
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: rows)
    stream = SampleStream(open_dataset("webqa", None), None, None)
    samples = iter(stream)
    assert next(samples).paraphrases == ("test 0?",)
    assert stream.where == "webqa, question 1"
    with pytest.raises(UsageError, match="webqa, question 2: column 'answers' must be"):
        next(samples)


@pytest.mark.parametrize(("count", "drawn"), [(1, [7]), (5, [7, 1, 17, 15, 14])])
def test_examples_are_those_that_seed_42_draws_from_the_train_split(hub_calls, count, drawn):
    """The literal numbers hold the published draw whatever later versions of Python do."""
    assert random.Random(42).sample(range(len(TRAIN)), count) == drawn
    examples = open_dataset("webqa", None).few_shot(count)
    assert examples == [(f"train {i}?", f"t{i}") for i in drawn]
    assert hub_calls == [("stanfordnlp/web_questions", "train", False)]


def test_more_examples_than_there_are_rows_are_all_of_them(hub_calls):
    assert sorted(open_dataset("webqa", None).few_shot(99)) == sorted(
        (row["question"], row["answers"][0]) for row in TRAIN
    )


@pytest.mark.skipif(not REAL.exists(), reason="the real data is not here")
def test_the_five_examples_of_the_real_train_split_are_the_published_ones(monkeypatch):
    train = datasets.Dataset.from_list([json.loads(line) for line in REAL.open(encoding="utf-8")])
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: train)
    rows = [train[i] for i in (2619, 456, 102, 3037, 1126)]
    assert random.Random(42).sample(range(3778), 5) == [2619, 456, 102, 3037, 1126]
    examples = open_dataset("webqa", None).few_shot(5)
    assert examples == [(row["question"], row["answers"][0]) for row in rows]


def test_the_command_of_the_docs_draws_the_same_examples_from_a_file(hub_calls, tmp_path):
    page = (ROOT / "docs" / "datasets.md").read_text(encoding="utf-8")
    (line,) = [
        line.strip() for line in page.splitlines() if "random.Random(42).sample(open(" in line
    ]
    split = "".join(json.dumps(row) + "\n" for row in TRAIN)
    (tmp_path / "train.jsonl").write_text(split, encoding="utf-8")
    command = line.replace("python", sys.executable, 1)
    subprocess.run(["bash", "-c", command], cwd=tmp_path, check=True)
    dataset = open_dataset("webqa", None)
    drawn = few_shot_from(tmp_path / "examples.jsonl", None, dataset.example)
    assert drawn == dataset.few_shot(5)


@pytest.mark.parametrize(
    "error",
    [ConnectionError("no route\nto host"), ValueError("gated"), RuntimeError(), KeyError("x")],
    ids=lambda e: type(e).__name__,
)
@pytest.mark.parametrize("what", ["samples", "few_shot"])
def test_a_hub_that_does_not_answer_is_one_sentence_that_names_the_way_out(
    monkeypatch, error, what
):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(datasets, "load_dataset", fail)
    dataset = open_dataset("webqa", None)
    with pytest.raises(UsageError, match=r"web_questions .*--data.*--few-shot") as refused:
        list(dataset.samples()) if what == "samples" else dataset.few_shot(5)
    assert "\n" not in str(refused.value)


def test_a_hub_that_falls_silent_in_the_middle_is_the_same_sentence(monkeypatch):
    def half(*_, **__):
        yield TEST[0]
        raise ConnectionError("read timed out")

    monkeypatch.setattr(datasets, "load_dataset", half)
    stream = open_dataset("webqa", None).samples()
    assert next(stream).paraphrases == ("test 0?",)
    with pytest.raises(UsageError, match="--data"):
        next(stream)


@pytest.mark.parametrize(("own", "seen"), [(None, "1"), ("0", "0")])
def test_without_a_network_the_hub_is_not_waited_for_unless_the_person_wants_it(
    monkeypatch, own, seen
):
    def no_name(*_, **__):
        raise OSError("name or service not known")

    def offline(*_, **__):
        raise ConnectionError(f"offline is {os.environ.get('HF_HUB_OFFLINE')}")

    monkeypatch.setattr("socket.getaddrinfo", no_name)
    monkeypatch.setattr(datasets, "load_dataset", offline)
    if own:
        monkeypatch.setenv("HF_HUB_OFFLINE", own)
    with pytest.raises(UsageError, match=f"offline is {seen}"):
        open_dataset("webqa", None).few_shot(5)


def test_with_a_network_nothing_is_said_of_being_offline(hub_calls):
    open_dataset("webqa", None).few_shot(5)
    assert "HF_HUB_OFFLINE" not in os.environ
