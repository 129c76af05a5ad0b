"""Weighted ensembles: the mean by hand, its limits, and the most confident paraphrase."""

import math
from dataclasses import replace

import pytest
import torch

from common.records import Sample
from tests.worker.engine.answers import answers_of
from tests.worker.engine.families import MANY, SAMPLES, make_request, watch_fed_tokens
from worker.engine.fusions import mean_logits, weighted_mean
from worker.engine.stats import EngineStats

# Two sequences over three tokens: what exp of their logits gives.
SEQUENCES = [[1.0, 2.0, 5.0], [16.0, 2.0, 1.0]]


def logits_of(rows):
    return torch.tensor(rows).log()[None]


def fused(weights):
    return weighted_mean(logits_of(SEQUENCES), torch.tensor([weights])).exp()[0].tolist()


def test_the_weighted_mean_is_the_weighted_geometric_mean():
    """Weights 1 and 3: 1^.25 * 16^.75 = 8, 2, 5^.25 * 1 = 1.495..."""
    unnormalized = [8.0, 2.0, 5**0.25]
    wanted = [number / sum(unnormalized) for number in unnormalized]
    assert fused([1.0, 3.0]) == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize("scale", [0.01, 0.5, 7.0, 1e6])
def test_weights_count_by_their_share(scale):
    assert fused([scale, 3 * scale]) == pytest.approx(fused([1.0, 3.0]), abs=1e-6)


def test_a_weight_of_zero_leaves_its_sequence_out():
    assert fused([0.0, 0.4]) == pytest.approx([16 / 19, 2 / 19, 1 / 19], abs=1e-6)


def test_sequences_count_alike_where_every_weight_is_zero():
    wanted = mean_logits(logits_of(SEQUENCES)).exp()[0].tolist()
    assert fused([0.0, 0.0]) == pytest.approx(wanted, abs=1e-6)
    assert all(math.isfinite(number) for number in fused([0.0, 0.0]))


def test_each_ensemble_of_a_batch_has_its_own_weights():
    logits = torch.randn(4, 3, 17, generator=torch.Generator().manual_seed(3))
    weights = torch.tensor([[0.2, 0.9, 0.0], [0.0, 0.0, 0.0], [1.0, 1.0, 1.0], [0.0, 0.0, 0.1]])
    alone = [weighted_mean(x[None], w[None]) for x, w in zip(logits, weights, strict=True)]
    torch.testing.assert_close(weighted_mean(logits, weights), torch.cat(alone))


def test_a_weighted_mean_without_weights_is_refused():
    with pytest.raises(ValueError, match="weights"):
        weighted_mean(logits_of(SEQUENCES))


def weighed(*confidences, samples=MANY):
    return [Sample(paraphrases, confidences=confidences) for paraphrases in samples]


def tokens(answers, method):
    return [[g.tokens for g in answer[method]] for answer in answers]


@pytest.mark.parametrize("confidences", [(0.3, 0.3, 0.3), (0.0, 0.0, 0.0), (1, 1, 1)])
def test_equal_confidences_give_what_avg_gives(make_engine, family, bos, confidences):
    answers = answers_of(
        make_engine(family, bos), weighed(*confidences), make_request("avg", "weighted_avg")
    )
    assert tokens(answers, "weighted_avg") == tokens(answers, "avg")
    assert len({t[0] for t in tokens(answers, "avg")}) > 3


@pytest.mark.parametrize("most_confident", [0, 1, 2])
def test_one_confident_paraphrase_among_doubtful_ones_is_that_paraphrase_alone(
    make_engine, bos, most_confident
):
    confidences = [0.75 * (i == most_confident) for i in range(3)]
    request = make_request("weighted_avg", "weighted_max", "per_prompt")
    answers = answers_of(make_engine("qwen3", bos), weighed(*confidences), request)
    wanted = [[single[most_confident]] for single in tokens(answers, "per_prompt")]
    assert tokens(answers, "weighted_avg") == wanted
    assert tokens(answers, "weighted_max") == wanted


def test_confidences_decide_what_the_weighted_mean_answers(make_engine):
    """The control: the same paraphrases, other confidences, other answers."""
    request = make_request("weighted_avg")
    engine = make_engine()
    answers = [
        str(tokens(answers_of(engine, weighed(*confidences), request), "weighted_avg"))
        for confidences in ((0.9, 0.1, 0.0), (0.1, 0.9, 0.0), (0.1, 0.2, 0.9))
    ]
    assert len(set(answers)) == 3


@pytest.mark.parametrize(
    ("confidences", "taken"),
    [((0.2, 0.9, 0.9), 1), ((0.5, 0.5, 0.5), 0), ((0.0, 0.0, 0.01), 2), ((0, 0, 0), 0)],
)
def test_the_most_confident_paraphrase_answers_and_of_equals_the_first(
    make_engine, confidences, taken
):
    engine = make_engine()
    answers = answers_of(engine, weighed(*confidences), make_request("weighted_max"))
    singles = answers_of(engine, MANY, make_request("per_prompt"))
    assert tokens(answers, "weighted_max") == [[s[taken]] for s in tokens(singles, "per_prompt")]


def test_the_most_confident_paraphrase_costs_no_sequence_beside_all_paraphrases(make_engine, bos):
    fed = []
    for methods in (("per_prompt",), ("per_prompt", "weighted_max", "majority")):
        engine, counts = make_engine(bos=bos), EngineStats()
        lengths = watch_fed_tokens(engine.model)
        answers_of(engine, weighed(0.1, 0.9, 0.3), make_request(*methods), counts)
        fed.append((lengths, counts.prefill_tokens, counts.decode_tokens))
    assert fed[0] == fed[1]


def test_confidences_past_the_paraphrases_that_are_read_are_not_looked_at(make_engine):
    engine, request = (
        make_engine(),
        make_request("weighted_avg", "weighted_max", num_paraphrases=2),
    )
    more = weighed(0.2, 0.6, 0.9)
    fewer = [replace(q, paraphrases=q.paraphrases[:2], confidences=(0.2, 0.6)) for q in more]
    assert answers_of(engine, more, request) == answers_of(engine, fewer, request)


def test_samples_of_different_numbers_of_paraphrases_share_a_batch(make_engine):
    engine, request = make_engine(), make_request("weighted_avg", "avg", "weighted_max")
    questions = [
        Sample(SAMPLES[0], confidences=(0.1, 0.2, 0.6)),
        Sample(SAMPLES[1][:2], confidences=(0.7, 0.1)),
        Sample(SAMPLES[1][:1], confidences=(0.7,)),
    ]
    alone = [answer for q in questions for answer in answers_of(engine, [q], request)]
    together = answers_of(engine, questions, request)
    for method in ("weighted_avg", "avg", "weighted_max"):
        assert tokens(together, method) == tokens(alone, method)
