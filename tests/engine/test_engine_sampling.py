"""Drawing a token: the sequence of a seed, the nucleus, and how often each token comes.

Held against the definition in plain Python integers, and against the softmax by chi-square.
"""

import math
import random

import pytest
import torch
from scipy.stats import chisquare

from common.run import Sampling
from worker.engine.reference import reference_pick, splitmix
from worker.engine.sampling import Draw, pick, seed_of, uniform

EXTREMES = [0, 1, -1, 2**63 - 1, -(2**63), 0x1234567, -0x7654321]
SEEDS = [*EXTREMES, *(random.Random(7).randrange(-(2**63), 2**63) for _ in range(211))]


def numbers(seeds, steps):
    return uniform(torch.tensor(seeds), torch.tensor(steps))


def softmax(scores, temperature):
    """In Python floats, so that it shares nothing with what is tested."""
    weights = [math.exp((score - max(scores)) / temperature) for score in scores]
    return [weight / sum(weights) for weight in weights]


def test_uniform_is_splitmix_to_the_last_bit():
    pairs = [(seed, step) for seed in SEEDS for step in (0, 1, 2, 19, 4095)]
    found = numbers(*zip(*pairs, strict=True))
    assert found.dtype == torch.float64
    assert found.tolist() == [splitmix(seed, step) for seed, step in pairs]


def test_the_sequence_is_the_published_one():
    """First outputs of SplitMix64 for the seed 1234567, as its reference program prints them."""
    published = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    found = numbers([1234567] * 3, [0, 1, 2])
    assert found.tolist() == [(output >> 11) * 2.0**-53 for output in published]


def test_uniform_numbers_lie_in_zero_to_one_evenly():
    steps = torch.arange(20_011)
    found = uniform(torch.full_like(steps, seed_of("evenly", 3)), steps)
    assert (found >= 0).all()
    assert (found < 1).all()
    assert float(found.mean()) == pytest.approx(1 / 2, abs=0.01)
    assert float(found.var()) == pytest.approx(1 / 12, abs=0.003)
    assert chisquare(torch.histc(found, 37, 0, 1).numpy()).pvalue > 1e-3


def test_neighbouring_seeds_have_unrelated_sequences():
    seeds = torch.tensor([seed_of("who?/0", number) for number in range(1501)])
    first = uniform(seeds, torch.zeros_like(seeds))
    pairs = torch.stack((first[:-1], first[1:]))
    assert abs(float(torch.corrcoef(pairs)[0, 1])) < 0.1
    assert len(set(first.tolist())) == len(seeds)


def test_a_seed_depends_on_the_name_and_the_number_and_fits_64_bits():
    seeds = [seed_of(name, number) for name in ("a/0", "a/1", "b/0") for number in range(101)]
    assert len(set(seeds)) == len(seeds)
    assert seed_of("a/0", 5) == seeds[5]
    assert all(-(2**63) <= seed < 2**63 for seed in seeds)
    assert min(seeds) < 0 < max(seeds)


@pytest.mark.parametrize("temperature", [0.3, 1.0, 1.5])
@pytest.mark.parametrize("top_p", [1, 0.9, 0.3])
def test_picks_equal_the_reference_token_by_token(temperature, top_p):
    sampling = Sampling(temperature=temperature, top_p=top_p)
    generator = torch.Generator().manual_seed(11)
    scores = (torch.randn(173, 29, generator=generator) * 3).log_softmax(dim=-1)
    seeds = SEEDS[:173]
    steps = [row % 7 for row in range(173)]
    found = pick(scores, sampling, torch.tensor(seeds), torch.tensor(steps))
    wanted = [
        reference_pick(row, Draw(sampling, seed), step)
        for row, seed, step in zip(scores, seeds, steps, strict=True)
    ]
    assert found.tolist() == wanted
    assert len(set(wanted)) > 5


def draws(scores, sampling, number):
    seeds = torch.tensor([seed_of("often", i) for i in range(number)])
    rows = torch.tensor(scores).expand(number, -1)
    return pick(rows, sampling, seeds, torch.zeros_like(seeds))


SCORES = [0.3, -1.2, 1.7, 0.0, -0.4, 1.1, -2.5]


@pytest.mark.parametrize("temperature", [0.7, 1.0, 1.5])
def test_tokens_come_as_often_as_the_softmax_says(temperature):
    number = 20_001
    found = draws(SCORES, Sampling(temperature=temperature, top_p=1), number)
    counts = found.bincount(minlength=len(SCORES)).tolist()
    wanted = [number * share for share in softmax(SCORES, temperature)]
    assert chisquare(counts, wanted).pvalue > 1e-3
    other = [number * share for share in softmax(SCORES, temperature + 0.2)]
    assert chisquare(counts, other).pvalue < 1e-6, "a test that cannot tell temperatures apart"


def test_tokens_of_a_nucleus_come_as_often_as_their_shares_of_it():
    """Most probable first the shares are 0.47, 0.26, 0.12, ...: three of them reach 0.8."""
    number, nucleus = 9_001, [2, 5, 0]
    found = draws(SCORES, Sampling(temperature=1, top_p=0.8), number)
    assert set(found.tolist()) == set(nucleus)
    shares = [softmax(SCORES, 1)[token] for token in nucleus]
    counts = [int((found == token).sum()) for token in nucleus]
    assert chisquare(counts, [number * s / sum(shares) for s in shares]).pvalue > 1e-3


@pytest.mark.parametrize("top_p", [0.05, 0.3, 0.5, 0.9, 0.99])
def test_no_token_outside_the_nucleus_is_ever_drawn(top_p):
    generator = torch.Generator().manual_seed(5)
    scores = torch.randn(997, 41, generator=generator) * 2
    seeds = torch.tensor([seed_of("nucleus", i) for i in range(997)])
    found = pick(scores, Sampling(temperature=1.5, top_p=top_p), seeds, torch.zeros_like(seeds))
    for row, token in zip(scores.tolist(), found.tolist(), strict=True):
        shares = softmax(row, 1.5)
        more_probable = sum(share for share in shares if share > shares[token])
        assert more_probable < top_p + 1e-6


def test_a_tiny_nucleus_is_the_best_token():
    scores = torch.randn(101, 31, generator=torch.Generator().manual_seed(2))
    found = pick(
        scores, Sampling(temperature=10, top_p=1e-9), torch.arange(101), torch.zeros(101).long()
    )
    assert found.equal(scores.argmax(dim=-1))


def test_equal_scores_belong_to_the_nucleus_together():
    found = draws([1.0, 3.0, 3.0, 3.0], Sampling(temperature=1, top_p=0.1), 57)
    assert set(found.tolist()) == {1, 2, 3}


@pytest.mark.parametrize("top_p", [1, 0.9])
def test_tokens_of_no_probability_are_never_drawn(top_p):
    sampling = Sampling(temperature=1.5, top_p=top_p)
    found = draws([-math.inf, 0.0, -math.inf, 0.0, -1e30, -math.inf], sampling, 1001)
    assert set(found.tolist()) == {1, 3}


@pytest.mark.parametrize("top_p", [1, 0.9])
@pytest.mark.parametrize("scores", [[-1e30, 3e30, 0.0], [-math.inf, 0.0, -math.inf], [5.0]])
def test_a_sure_model_draws_its_best_token(top_p, scores):
    found = draws(scores, Sampling(temperature=0.01, top_p=top_p), 31)
    assert set(found.tolist()) == {scores.index(max(scores))}


@pytest.mark.parametrize("top_p", [1, 0.9])
@pytest.mark.parametrize("number", [0.0, 1 - 2.0**-53], ids=["least", "greatest"])
def test_the_ends_of_the_sequence_draw_tokens_that_have_a_probability(monkeypatch, top_p, number):
    ends = torch.full((3,), number, dtype=torch.float64)
    monkeypatch.setattr("worker.engine.sampling.uniform", lambda *_: ends)
    scores = torch.tensor([[-math.inf, 0.5, 0.1, -0.3, -math.inf]]).expand(3, -1)
    found = pick(scores, Sampling(temperature=1, top_p=top_p), torch.arange(3), torch.arange(3))
    assert set(found.tolist()) <= {1, 2, 3}
