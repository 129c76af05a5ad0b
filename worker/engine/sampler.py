"""Sampling: the next token is an argmax over scores plus noise, and equal in every batch.

The Gumbel-max trick (Gumbel 1954; Maddison et al. 2014): add independent Gumbel noise to the
log-probability of every token and take the largest sum; the token is then distributed like the
softmax. The noise is a hash of the draw's seed, the step and the token id (SplitMix64, Steele et
al. 2014). No generator is shared, so neither the batch nor the worker changes a draw.

Two distributions that share their noise give different tokens with a probability of at most
2d / (1 + d), where d is their total variation distance. The usual walk through the cumulative sum
has no such bound: the smallest change of one logit moves every boundary behind it.
"""

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor

from common.run import SamplingParams

_GAMMA = 0x9E3779B97F4A7C15
_MIX = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))

_BLOCK = 1 << 21
"""Noise values computed at once; bounds their memory."""


@dataclass(frozen=True)
class Draw:
    """How one answer is drawn. seed: seed of its noise, a signed 64-bit integer."""

    sampling: SamplingParams
    seed: int


def seed_of(name: str, number: int) -> int:
    """Return the seed of draw `number` of the sequence called `name`; signed 64 bits."""
    digest = hashlib.sha256(f"{name}/{number}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def sample_tokens(
    scores: Tensor,
    sampling: SamplingParams,
    seeds: Tensor,
    steps: Tensor,
    rows: Tensor | None = None,
) -> Tensor:
    """Draw token ids, int64 [E].

    scores: log-scores, float32 [R, V]. seeds: int64 [E], one for each draw. steps: int64 [E],
    index of the token in the answer. rows: int64 [E], the row of scores that each draw reads; None
    if draw i reads row i.
    """
    rows = torch.arange(len(scores), device=scores.device) if rows is None else rows
    below = scores - scores.amax(dim=-1, keepdim=True)  # Else a small temperature overflows.
    probabilities = (below / sampling.temperature).softmax(dim=-1)
    size = max(1, _BLOCK // scores.shape[-1])
    blocks = zip(rows.split(size), seeds.split(size), steps.split(size), strict=True)
    return torch.cat(
        [
            _draw(probabilities.index_select(0, row), seed, step, sampling.top_p)
            for row, seed, step in blocks
        ]
    )


def _draw(probabilities: Tensor, seeds: Tensor, steps: Tensor, top_p: float) -> Tensor:
    # Gumbel noise is -log E, so p / E and log p + noise have one argmax; p / E saves a logarithm.
    noisy = probabilities / exponential(seeds, steps, probabilities.shape[-1])
    return noisy.argmax(dim=-1) if top_p == 1 else best_of_nucleus(noisy, probabilities, top_p)


def best_of_nucleus(noisy: Tensor, probabilities: Tensor, top_p: float) -> Tensor:
    """Return the argmax of `noisy` over the tokens of the nucleus, int64 [E]; arguments: [E, V].

    The vocabulary is not sorted: if the best token is outside the nucleus, it is left out together
    with all tokens that are no more probable, and the next best is tried.
    """
    tokens = noisy.argmax(dim=-1)
    rows = torch.arange(len(tokens), device=tokens.device)
    best = tokens.clone()
    while len(rows := rows[outside := mass_above(probabilities, tokens) >= top_p]):
        noisy, probabilities, tokens = noisy[outside], probabilities[outside], tokens[outside]
        no_more = probabilities <= probabilities.gather(-1, tokens[:, None])
        tokens = noisy.masked_fill_(no_more, -torch.inf).argmax(dim=-1)
        best[rows] = tokens
    return best


def mass_above(probabilities: Tensor, tokens: Tensor) -> Tensor:
    """Sum the probabilities [E, V] that are greater than that of `tokens` [E], by row.

    A token belongs to the nucleus of top_p (Holtzman et al. 2020) if this sum is less than top_p.
    So the nucleus holds the most probable tokens until their sum reaches top_p, and all tokens as
    probable as the last of them; their order in the vocabulary plays no role.

    >>> mass_above(torch.tensor([[0.125, 0.5, 0.25, 0.125]]), torch.tensor([3]))
    tensor([0.7500])
    """
    greater = probabilities > probabilities.gather(-1, tokens[:, None])
    return (probabilities * greater).sum(dim=-1)


def exponential(seeds: Tensor, steps: Tensor, size: int) -> Tensor:
    """Return standard exponential noise of `size` tokens, float32 [E, size].

    seeds, steps: int64 [E]. Each step has a SplitMix64 sequence of its own; output n holds the
    noise of tokens 2n and 2n + 1.
    """
    pairs = torch.arange((size + 1) // 2, device=seeds.device)
    words = splitmix(splitmix(seeds, steps)[:, None], pairs).view(torch.int32)[:, :size]
    # -log(1 - u), not -log(u): an improbable token wins by a u near 0, where floats are dense.
    return uniform(words).neg_().log1p_().neg_()


def uniform(words: Tensor) -> Tensor:
    """Map 31 bits of int32 to a float32 inside (0, 1); at either end noise would be infinite.

    >>> uniform(torch.tensor([0, 1 << 30, -1], dtype=torch.int32)).tolist()
    [2.3283062977608182e-10, 0.4999999701976776, 0.9999999403953552]
    """
    # The factor is a little below 2**-31, because the largest integers round up to 2**31.
    return words.bitwise_and(0x7FFFFFFF).float().add_(0.5).mul_(2.0**-31 * (1 - 2.0**-24))


def splitmix(seeds: Tensor, numbers: Tensor) -> Tensor:
    """Return output `numbers` of the SplitMix64 sequences of `seeds`; int64, broadcast."""
    z = seeds + (numbers + 1) * _signed(_GAMMA)
    for shift, factor in _MIX:
        z.bitwise_xor_(_shifted(z, shift)).mul_(_signed(factor))
    return z.bitwise_xor_(_shifted(z, 31))


def _signed(value: int) -> int:
    """Return the signed integer with the same 64 bits, because torch has signed ones only."""
    return value - (1 << 64) if value >= 1 << 63 else value


def _shifted(z: Tensor, bits: int) -> Tensor:
    """Shift to the right logically; torch's `>>` copies the sign."""
    return (z >> bits).bitwise_and_((1 << (64 - bits)) - 1)
