"""Messages are checked before anything they name is opened; samples of several runs are joined."""

import shutil

import pytest

from common.errors import RejectShard, ReturnShard, StopRun
from common.planning.plan import RunPlan, create_runs
from common.records import Sample
from common.run import SEMANTICS_VERSION, RunKey
from common.store import StoreFilesystem
from common.store.identity import store_id
from tests.conftest import numbered_questions
from tests.worker.conftest import shard_of
from tests.worker.scripted import make_spec
from worker.answering import make_request
from worker.shards import open_shard

GOOD = "numbers/tiny-llama/avg-3"
PARAPHRASES = ("who?", "which one?", "tell me who")


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


def test_a_run_that_this_store_does_not_have_is_for_other_workers(executor):
    with pytest.raises(ReturnShard, match="SELF_ENSEMBLE_STORE"):
        open_shard(executor.store, ["a/b/c"], [[0, 1]])


def test_a_run_that_was_deleted_is_told_from_a_store_that_is_another(executor):
    message = executor.store, ["a/b/c"], [[0, 1]], executor.was_deleted
    executor.counters.note_store("a/b/c", store_id(executor.store))
    with pytest.raises(StopRun, match=r"a/b/c is no longer in the store .*; enqueue it again"):
        open_shard(*message)
    executor.counters.note_store("a/b/c", "another")
    with pytest.raises(ReturnShard, match="SELF_ENSEMBLE_STORE"):
        open_shard(*message)
    executor.counters.note_store("a/b/c", store_id(executor.store))
    shutil.rmtree(executor.store.uri)
    with pytest.raises(ReturnShard, match="SELF_ENSEMBLE_STORE"):
        open_shard(*message)


def test_a_run_that_was_deleted_is_left_out_and_the_others_are_answered(executor, make_runs):
    gone, *others = make_runs().runs
    for run in (gone, *others):
        executor.counters.note_store(str(run.key), store_id(executor.store))
    names = [str(run.key) for run in (gone, *others)]
    gone.delete()
    shard = open_shard(executor.store, names, [[0, 2]], executor.was_deleted)
    assert [run.key for run in shard.runs] == [run.key for run in others]


def test_a_run_of_a_newer_version_is_for_workers_that_have_it(make_runs, monkeypatch):
    runs = make_runs(methods=("avg",)).runs
    monkeypatch.setattr("worker.shards.SEMANTICS_VERSION", SEMANTICS_VERSION - 1)
    with pytest.raises(ReturnShard, match="install the producer's version"):
        shard_of(runs, [0])


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
    assert make_request([make_spec("avg")]).predict(text) == line


@pytest.mark.parametrize(
    ("text", "line"), [("\n\nParis\nQ", "Paris"), (" \n a \n", "a"), ("a###b", "a"), ("\n", "")]
)
def test_without_a_newline_that_stops_it_is_the_first_line_that_is_not_blank(text, line):
    spec = make_spec("avg", stop=("###",), prompt="chat")
    assert make_request([spec]).predict(text) == line


def test_runs_of_one_message_must_read_as_many_paraphrases(make_runs):
    """The engine reads one number in a call: avg-2 would be answered from three."""
    wide = make_runs(methods=("origin", "avg")).runs
    narrow = make_runs(methods=("avg",), num_paraphrases=2).runs
    with pytest.raises(RejectShard, match=r"avg-3.*avg-2.* cannot share a prefill"):
        shard_of((*wide, *narrow), [0])
    assert len(shard_of((wide[0], *narrow), [0]).samples[0].paraphrases) == 2


@pytest.fixture
def runs_of(tmp_path):
    """Make a run of each method, over the samples given for it; returns the runs."""
    store = StoreFilesystem.open(str(tmp_path / "store"))

    def make(**samples_of):
        runs = []
        for method, samples in samples_of.items():
            width = len(samples[0].paraphrases)
            spec = make_spec(method, num_paraphrases=width)
            key = f"quiz/owner--model/{method}-{width}"
            runs += create_runs(store, [RunPlan(key=key, spec=spec)], samples, {})
        return tuple(runs)

    return make


def samples(*confidences, paraphrases=PARAPHRASES, **known):
    """A sample for each tuple of confidences; None for a sample without."""
    return [
        Sample(paraphrases, ("Ann",), f"id{i}", confidences=each, **known)
        for i, each in enumerate(confidences)
    ]


SURE = (0.25, 0.75, 1.0), (0.5, 0.0, 0.125), ()


def test_runs_with_and_without_confidences_share_a_message(runs_of):
    runs = runs_of(avg=samples(*[None] * 3), weighted_avg=samples(*SURE))
    shard = shard_of(runs, [0, 1, 2])
    assert [sample.confidences for sample in shard.samples] == list(SURE)
    assert [sample.paraphrases for sample in shard.samples] == [PARAPHRASES] * 3
    assert shard_of(runs[::-1], [0, 1, 2]).samples == shard.samples


def test_runs_without_confidences_have_none(runs_of):
    runs = runs_of(avg=samples(None, None), max=samples(None, None))
    assert [sample.confidences for sample in shard_of(runs, [0, 1]).samples] == [None, None]


@pytest.mark.parametrize(
    "others", [((0.25, 0.75, 0.5), SURE[1], ()), ((), SURE[1], ()), (SURE[0], SURE[1], (1, 1, 1))]
)
def test_runs_with_different_confidences_are_rejected(runs_of, others):
    runs = runs_of(weighted_avg=samples(*SURE), weighted_max=samples(*others))
    with pytest.raises(RejectShard, match="different samples"):
        shard_of(runs, [0, 1, 2])
    assert shard_of(runs, [1]).samples[0].confidences == SURE[1]


def test_the_first_paraphrase_alone_joins_runs_with_confidences(runs_of):
    origin = samples(*[None] * 3, paraphrases=PARAPHRASES[:1])
    runs = runs_of(origin=origin, weighted_max=samples(*SURE))
    (joined,) = shard_of(runs, [0]).samples
    assert (joined.paraphrases, joined.confidences) == (PARAPHRASES, SURE[0])


def test_what_is_known_of_a_sample_reaches_the_engine(runs_of):
    runs = runs_of(weighted_avg=samples(*SURE, num_manual=2))
    sample = shard_of(runs, [0]).samples[0]
    assert (sample.paraphrases, sample.num_manual) == (PARAPHRASES, 2)
    assert (sample.confidences, sample.uuid) == (SURE[0], "id0")


def test_runs_of_other_paraphrases_are_rejected(runs_of):
    other = samples(*[None] * 3, paraphrases=("who?", "which one?", "tell me"))
    with pytest.raises(RejectShard, match="different samples"):
        shard_of(runs_of(avg=samples(*[None] * 3), max=other), [0])
