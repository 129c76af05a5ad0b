"""Messages are checked before anything they name is opened."""

import pytest

from common.errors import RejectShard, StopRun
from common.prompts import Template
from common.run import SEMANTICS_VERSION, RunKey
from tests.conftest import numbered_questions
from tests.worker.conftest import shard_of
from worker.shards import open_shard

GOOD = "numbers/tiny-llama/avg-3"


@pytest.mark.parametrize(
    ("runs", "rows"),
    [
        (["../../etc/passwd"], [[0, 1]]),
        (["/etc/passwd/x"], [[0, 1]]),
        (["numbers/../avg-3"], [[0, 1]]),
        (["numbers/tiny-llama/.hidden"], [[0, 1]]),
        ([], [[0, 1]]),
        ("numbers", [[0, 1]]),
        ([GOOD], []),
        ([GOOD], [[3, 1]]),
        ([GOOD], [[-1, 2]]),
        ([GOOD], [[0, 99]]),
        ([GOOD], [[0, 10**12]]),
        ([GOOD], [["0", 1]]),
        ([GOOD], "0-1"),
        ([7], [[0, 1]]),
    ],
)
def test_a_message_that_is_not_as_it_should_be_is_rejected(executor, make_runs, runs, rows):
    make_runs(methods=("avg",))
    with pytest.raises(RejectShard):
        open_shard(executor.store, runs, rows)


def test_a_run_that_this_store_does_not_have_stops(executor):
    with pytest.raises(StopRun, match="SELF_ENSEMBLE_STORE"):
        open_shard(executor.store, ["a/b/c"], [[0, 1]])


def test_a_run_of_another_semantics_version_stops_and_is_not_mixed(make_runs, monkeypatch):
    runs = make_runs(methods=("avg",)).runs
    monkeypatch.setattr("worker.shards.SEMANTICS_VERSION", SEMANTICS_VERSION + 1)
    with pytest.raises(
        StopRun, match=f"avg-3 was made under semantics version {SEMANTICS_VERSION}"
    ):
        shard_of(runs, [0])


def test_runs_of_one_message_must_share_their_prefill(executor, make_runs):
    avg = make_runs(methods=("avg",)).runs
    longer = make_runs(methods=("max",), max_new_tokens=6).runs
    with pytest.raises(RejectShard, match="share a prefill"):
        shard_of((*avg, *longer), [0])


def test_runs_of_one_message_must_hold_the_same_samples(executor, make_runs):
    avg = make_runs(methods=("avg",)).runs
    rows = numbered_questions(7)
    rows[2]["question"] = "another?"
    other = make_runs(rows, methods=("max",)).runs
    assert len(shard_of((*avg, *other), [0, 1]).samples) == 2
    with pytest.raises(RejectShard, match="different samples"):
        shard_of((*avg, *other), [0, 1, 2])


def test_a_run_with_fewer_paraphrases_joins_one_with_more(make_runs):
    runs = make_runs(methods=("origin", "avg")).runs
    assert runs[0].key == RunKey("numbers", "tiny-llama", "origin")
    assert [len(sample.paraphrases) for sample in shard_of(runs, [0, 5]).samples] == [3, 3]


@pytest.mark.parametrize(
    ("text", "line"), [(" Paris\nQ: x", "Paris"), ("\n\nParis", ""), ("a b ", "a b"), ("", "")]
)
def test_a_prediction_is_the_first_line_stripped(text, line):
    assert Template(instruction="").predict(text) == line
