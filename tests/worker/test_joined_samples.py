"""What runs of one message know of a sample is put together, or the message is rejected."""

import pytest

from common.errors import RejectShard
from common.planning.plan import RunPlan, create_runs
from common.records import Sample
from common.store import StoreFilesystem
from tests.worker.conftest import shard_of
from tests.worker.scripted import make_spec

PARAPHRASES = ("who?", "which one?", "tell me who")


@pytest.fixture
def frozen(tmp_path):
    """Make runs of methods, each over samples of its own; returns them in one tuple."""
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
    """A sample for each given tuple of confidences, None for none."""
    return [
        Sample(paraphrases, ("Ann",), f"id{i}", confidences=given, **known)
        for i, given in enumerate(confidences)
    ]


SURE = (0.25, 0.75, 1.0), (0.5, 0.0, 0.125), ()


def test_runs_with_and_without_confidences_share_a_message(frozen):
    runs = frozen(avg=samples(*[None] * 3), weighted_avg=samples(*SURE))
    shard = shard_of(runs, [0, 1, 2])
    assert [sample.confidences for sample in shard.samples] == list(SURE)
    assert [sample.paraphrases for sample in shard.samples] == [PARAPHRASES] * 3
    assert shard_of(runs[::-1], [0, 1, 2]).samples == shard.samples


def test_runs_without_confidences_have_none(frozen):
    runs = frozen(avg=samples(None, None), max=samples(None, None))
    assert [sample.confidences for sample in shard_of(runs, [0, 1]).samples] == [None, None]


@pytest.mark.parametrize(
    "others", [((0.25, 0.75, 0.5), SURE[1], ()), ((), SURE[1], ()), (SURE[0], SURE[1], (1, 1, 1))]
)
def test_runs_with_different_confidences_are_rejected(frozen, others):
    runs = frozen(weighted_avg=samples(*SURE), weighted_max=samples(*others))
    with pytest.raises(RejectShard, match="different samples"):
        shard_of(runs, [0, 1, 2])
    assert shard_of(runs, [1]).samples[0].confidences == SURE[1]


def test_the_first_paraphrase_alone_joins_runs_with_confidences(frozen):
    origin = samples(*[None] * 3, paraphrases=PARAPHRASES[:1])
    runs = frozen(origin=origin, weighted_max=samples(*SURE))
    (joined,) = shard_of(runs, [0]).samples
    assert (joined.paraphrases, joined.confidences) == (PARAPHRASES, SURE[0])


def test_what_is_known_of_a_sample_reaches_the_engine(frozen):
    runs = frozen(weighted_avg=samples(*SURE, num_manual=2))
    sample = shard_of(runs, [0]).samples[0]
    assert (sample.paraphrases, sample.num_manual) == (PARAPHRASES, 2)
    assert (sample.confidences, sample.uuid) == (SURE[0], "id0")


def test_runs_of_other_paraphrases_are_rejected(frozen):
    other = samples(*[None] * 3, paraphrases=("who?", "which one?", "tell me"))
    with pytest.raises(RejectShard, match="different samples"):
        shard_of(frozen(avg=samples(*[None] * 3), max=other), [0])
