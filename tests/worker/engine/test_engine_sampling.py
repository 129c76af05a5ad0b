"""Drawing a token: the sequence of a seed, the nucleus, and how often each token comes.

Compared with the definition in plain Python integers, and with the softmax by chi-square.
"""

import math
import random

import pytest
import torch
from scipy.stats import binomtest, chisquare, kstest

from common.run import SamplingParams
from worker.engine import reference
from worker.engine.ensembles import Draw, seed_of
from worker.engine.noise import exponential, splitmix, uniform
from worker.engine.reference import reference_pick
from worker.engine.sampler import sample_tokens

EXTREMES = [0, 1, -1, 2**63 - 1, -(2**63), 0x1234567, -0x7654321]
SEEDS = [*EXTREMES, *(random.Random(7).randrange(-(2**63), 2**63) for _ in range(211))]


def softmax(scores, temperature):
    """Softmax in Python floats, so that it shares no code with the functions tested here."""
    weights = [math.exp((score - max(scores)) / temperature) for score in scores]
    return [weight / sum(weights) for weight in weights]


def test_outputs_are_splitmix_to_the_last_bit():
    pairs = [(seed, number) for seed in SEEDS for number in (0, 1, 2, 19, 4095, 151_935)]
    outputs = splitmix(*(torch.tensor(column) for column in zip(*pairs, strict=True)))
    assert outputs.dtype == torch.int64
    assert [z % 2**64 for z in outputs.tolist()] == [
        reference.splitmix(seed, number) for seed, number in pairs
    ]


def test_the_sequence_is_the_published_one():
    """First outputs of SplitMix64 for the seed 1234567, as its reference program prints them."""
    published = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    outputs = splitmix(torch.tensor([1234567]), torch.arange(3))
    assert [z % 2**64 for z in outputs.tolist()] == published


def test_uniform_numbers_lie_in_zero_to_one_evenly():
    words = splitmix(torch.tensor([seed_of("evenly", 3)]), torch.arange(10_007)).view(torch.int32)
    numbers = uniform(words)
    assert float(numbers.mean()) == pytest.approx(1 / 2, abs=0.01)
    assert float(numbers.var()) == pytest.approx(1 / 12, abs=0.003)
    assert chisquare(torch.histc(numbers, 37, 0, 1).numpy()).pvalue > 1e-3


def test_no_bits_make_a_number_that_has_no_logarithm():
    ends = torch.tensor([0, -1, 1, -2, 2**31 - 1, -(2**31)], dtype=torch.int32)
    numbers = uniform(ends)
    assert (numbers > 0).all()
    assert (numbers < 1).all()
    assert (-(-(-numbers).log1p()).log()).isfinite().all()


def test_noise_is_the_references_token_by_token():
    """Equal in float32; an odd vocabulary ends with the first token of a pair."""
    for size in (1, 2, 41):
        steps = [row % 5 for row in range(len(SEEDS))]
        noise = -exponential(torch.tensor(SEEDS), torch.tensor(steps), size).log()
        wanted = [
            [reference.reference_noise(seed, step, token) for token in range(size)]
            for seed, step in zip(SEEDS, steps, strict=True)
        ]
        torch.testing.assert_close(noise, torch.tensor(wanted), atol=5e-5, rtol=1e-6)


def test_noise_has_the_gumbel_distribution():
    noise = -exponential(torch.tensor([seed_of("noise", 0)]), torch.tensor([0]), 20_001)[0].log()
    assert kstest(noise.double().numpy(), "gumbel_r").pvalue > 1e-3


def test_noise_of_draws_steps_and_tokens_is_unrelated():
    seeds = torch.tensor([seed_of("a/0", 0), seed_of("a/0", 1), seed_of("a/0", 0)])
    noise = -exponential(seeds, torch.tensor([0, 0, 1]), 5003).log()
    noise = torch.cat((noise, noise[:1].roll(1), noise[:1].roll(2)))
    assert (torch.corrcoef(noise) - torch.eye(5)).abs().max() < 0.06


def test_neighbouring_seeds_have_unrelated_sequences():
    seeds = torch.tensor([seed_of("who?/0", number) for number in range(1501)])
    first = splitmix(seeds, torch.zeros_like(seeds)).double()
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
    sampling = SamplingParams(temperature=temperature, top_p=top_p)
    generator = torch.Generator().manual_seed(11)
    scores = (torch.randn(173, 29, generator=generator) * 3).log_softmax(dim=-1)
    seeds = SEEDS[:173]
    steps = [row % 7 for row in range(173)]
    tokens = sample_tokens(scores, sampling, torch.tensor(seeds), torch.tensor(steps))
    wanted = [
        reference_pick(row, Draw(sampling, seed), step)
        for row, seed, step in zip(scores, seeds, steps, strict=True)
    ]
    assert tokens.tolist() == wanted
    assert len(set(wanted)) > 5


def draws(scores, sampling, number):
    seeds = torch.tensor([seed_of("often", i) for i in range(number)])
    rows = torch.tensor(scores).expand(number, -1)
    return sample_tokens(rows, sampling, seeds, torch.zeros_like(seeds))


SCORES = [0.3, -1.2, 1.7, 0.0, -0.4, 1.1, -2.5]


@pytest.mark.parametrize("temperature", [0.7, 1.0, 1.5])
def test_tokens_come_as_often_as_the_softmax_says(temperature):
    number = 20_001
    tokens = draws(SCORES, SamplingParams(temperature=temperature, top_p=1), number)
    counts = tokens.bincount(minlength=len(SCORES)).tolist()
    wanted = [number * share for share in softmax(SCORES, temperature)]
    assert chisquare(counts, wanted).pvalue > 1e-3
    other = [number * share for share in softmax(SCORES, temperature + 0.2)]
    assert chisquare(counts, other).pvalue < 1e-6, "a test that cannot tell temperatures apart"


def test_tokens_of_a_nucleus_come_as_often_as_their_shares_of_it():
    """Most probable first the shares are 0.47, 0.26, 0.12, ...: three of them reach 0.8."""
    number, nucleus = 9_001, [2, 5, 0]
    tokens = draws(SCORES, SamplingParams(temperature=1, top_p=0.8), number)
    assert set(tokens.tolist()) == set(nucleus)
    shares = [softmax(SCORES, 1)[token] for token in nucleus]
    counts = [int((tokens == token).sum()) for token in nucleus]
    assert chisquare(counts, [number * s / sum(shares) for s in shares]).pvalue > 1e-3


@pytest.mark.parametrize("top_p", [0.05, 0.3, 0.5, 0.9, 0.99])
def test_no_token_outside_the_nucleus_is_ever_drawn(top_p):
    generator = torch.Generator().manual_seed(5)
    scores = torch.randn(997, 41, generator=generator) * 2
    seeds = torch.tensor([seed_of("nucleus", i) for i in range(997)])
    tokens = sample_tokens(
        scores, SamplingParams(temperature=1.5, top_p=top_p), seeds, torch.zeros_like(seeds)
    )
    for row, token in zip(scores.tolist(), tokens.tolist(), strict=True):
        shares = softmax(row, 1.5)
        more_probable = sum(share for share in shares if share > shares[token])
        assert more_probable < top_p + 1e-6


def test_a_tiny_nucleus_is_the_best_token():
    scores = torch.randn(101, 31, generator=torch.Generator().manual_seed(2))
    tokens = sample_tokens(
        scores,
        SamplingParams(temperature=10, top_p=1e-9),
        torch.arange(101),
        torch.zeros(101).long(),
    )
    assert tokens.equal(scores.argmax(dim=-1))


@pytest.mark.parametrize("top_p", [1, 0.9])
def test_a_temperature_near_zero_draws_the_best_token(top_p):
    scores = torch.randn(31, 41, generator=torch.Generator().manual_seed(4)).log_softmax(-1)
    places = torch.arange(31)
    tokens = sample_tokens(scores, SamplingParams(temperature=1e-42, top_p=top_p), places, places)
    assert tokens.equal(scores.argmax(dim=-1))


def test_equal_scores_belong_to_the_nucleus_together():
    tokens = draws([1.0, 3.0, 3.0, 3.0], SamplingParams(temperature=1, top_p=0.1), 57)
    assert set(tokens.tolist()) == {1, 2, 3}


@pytest.mark.parametrize("top_p", [1, 0.9])
def test_tokens_of_no_probability_are_never_drawn(top_p):
    sampling = SamplingParams(temperature=1.5, top_p=top_p)
    tokens = draws([-math.inf, 0.0, -math.inf, 0.0, -1e30, -math.inf], sampling, 1001)
    assert set(tokens.tolist()) == {1, 3}


@pytest.mark.parametrize("top_p", [1, 0.9])
@pytest.mark.parametrize("scores", [[-1e30, 3e30, 0.0], [-math.inf, 0.0, -math.inf], [5.0]])
def test_a_sure_model_draws_its_best_token(top_p, scores):
    tokens = draws(scores, SamplingParams(temperature=0.01, top_p=top_p), 31)
    assert set(tokens.tolist()) == {scores.index(max(scores))}


@pytest.mark.parametrize("top_p", [1, 0.9])
@pytest.mark.parametrize("bits", [0, -1], ids=["least", "greatest"])
def test_the_ends_of_the_noise_draw_tokens_that_have_a_probability(monkeypatch, top_p, bits):
    ends = torch.full((3, 3), bits)
    monkeypatch.setattr("worker.engine.noise.splitmix", lambda *_: ends.clone())
    scores = torch.tensor([[-math.inf, 0.5, 0.1, -0.3, -math.inf]]).expand(3, -1)
    tokens = sample_tokens(
        scores, SamplingParams(temperature=1, top_p=top_p), torch.arange(3), torch.arange(3)
    )
    assert set(tokens.tolist()) == {1}


@pytest.mark.parametrize("top_p", [1, 0.9])
def test_a_draw_is_the_same_whatever_rows_are_drawn_with_it(monkeypatch, top_p):
    generator = torch.Generator().manual_seed(3)
    scores = torch.randn(57, 211, generator=generator) * 2
    seeds, steps = torch.tensor(SEEDS[:57]), torch.arange(57) % 4
    sampling = SamplingParams(temperature=1.5, top_p=top_p)
    together = sample_tokens(scores, sampling, seeds, steps)
    turned = sample_tokens(scores.flip(0), sampling, seeds.flip(0), steps.flip(0)).flip(0)
    for rows in (1, 3, 7):
        parts = zip(scores.split(rows), seeds.split(rows), steps.split(rows), strict=True)
        alone = torch.cat([sample_tokens(s, sampling, seed, step) for s, seed, step in parts])
        assert alone.equal(together)
    assert turned.equal(together)
    few, rows = scores[:5], torch.arange(57) % 5
    shared = sample_tokens(few, sampling, seeds, steps, rows)
    assert shared.equal(sample_tokens(few[rows], sampling, seeds, steps))
    monkeypatch.setattr("worker.engine.sampler._BLOCK", 500)
    assert sample_tokens(few, sampling, seeds, steps, rows).equal(shared)
    assert sample_tokens(scores, sampling, seeds, steps).equal(together)


def off_by(step, logits, generator):
    """Move a third of the logits up by one bfloat16 step, and a third down."""
    ways = torch.randint(-1, 2, logits.shape, generator=generator)
    return logits + ways * logits.abs() * step


def drawn_of(logits, sampling):
    """Draw once from each row; the noise of a row does not depend on its logits."""
    seeds = torch.tensor([seed_of("moved", row) for row in range(len(logits))])
    return sample_tokens(logits, sampling, seeds, torch.zeros_like(seeds))


def distribution_of(logits, sampling):
    """The distribution of the draws, float64 [E, V]."""
    probabilities = (logits.double() / sampling.temperature).softmax(-1)
    ordered, order = probabilities.sort(dim=-1, descending=True)
    outside = ordered.cumsum(-1) - ordered >= sampling.top_p
    kept = probabilities.masked_fill(outside.gather(-1, order.argsort(-1)), 0)
    return kept / kept.sum(-1, keepdim=True)


ROWS = 1511


@pytest.mark.parametrize("top_p", [1, 0.9])
@pytest.mark.parametrize("temperature", [1, 1.5])
def test_logits_that_move_by_a_step_of_bfloat16_move_few_draws(temperature, top_p):
    """At most a share of 2 d / (1 + d) moves, where d is the distance of the distributions.

    Here this is 1 to 2 %; a walk through the cumulative sum moved 15 to 30 %.
    """
    generator = torch.Generator().manual_seed(17)
    logits = torch.randn(ROWS, 2003, generator=generator) * 3
    sampling = SamplingParams(temperature=temperature, top_p=top_p)
    moved = off_by(2.0**-8, logits, generator)
    changed = int((drawn_of(logits, sampling) != drawn_of(moved, sampling)).sum())
    distance = distribution_of(logits, sampling) - distribution_of(moved, sampling)
    distance = distance.abs().sum(-1) / 2
    bound = float((2 * distance / (1 + distance)).mean())
    assert changed > 0, "logits that differ, or nothing is tested"
    assert binomtest(changed, ROWS, bound, "greater").pvalue > 1e-3


@pytest.mark.parametrize("top_p", [1, 0.9])
def test_logits_that_move_by_what_float32_is_off_move_no_draw(top_p):
    generator = torch.Generator().manual_seed(19)
    logits = torch.randn(ROWS, 2003, generator=generator) * 3
    sampling = SamplingParams(temperature=1, top_p=top_p)
    moved = off_by(2.0**-20, logits, generator)
    assert drawn_of(logits, sampling).equal(drawn_of(moved, sampling))
