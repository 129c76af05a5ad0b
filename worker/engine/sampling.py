"""Sampling: the next token as an argmax over scores and noise, the same in every batch.

The Gumbel-max trick (Gumbel 1954; Maddison et al. 2014): add independent Gumbel noise to the
log-probability of every token and take the largest sum; the token is then distributed as the
softmax says. The noise is a hash of the draw's seed, the step and the token id (SplitMix64, Steele
et al. 2014). No generator is shared, so neither the batch nor the worker changes a draw.

Two distributions that share their noise give different tokens with a probability of 2d / (1 + d)
at most, where d is their total variation distance. A walk through the cumulative sum, the usual
way, has no such bound: the least change of one logit moves every boundary behind it.
"""

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor

from common.run import SamplingParams

_GAMMA = 0x9E3779B97F4A7C15
_MIX = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))

_BLOCK = 1 << 21
"""Numbers of noise made at once: what bounds their memory."""


@dataclass(frozen=True)
class Draw:
    """How one answer is drawn; seed: of its noise, a signed 64-bit integer."""

    sampling: SamplingParams
    seed: int


def seed_of(name: str, number: int) -> int:
    """The seed of the `number`-th draw for what `name` names; signed 64 bits."""
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

    scores: log-scores, float32 [R, V]. seeds, steps: int64 [E], the draw and the place of its
    token in the answer. rows: int64 [E], of the scores that each draws from; None for one each.
    """
    rows = torch.arange(len(scores), device=scores.device) if rows is None else rows
    below = scores - scores.amax(dim=-1, keepdim=True)  # Else a small temperature overflows.
    probabilities = (below / sampling.temperature).softmax(dim=-1)
    size = max(1, _BLOCK // scores.shape[-1])
    blocks = zip(rows.split(size), seeds.split(size), steps.split(size), strict=True)
    return torch.cat(
        [
            _draw(probabilities.index_select(0, block), noise_of, at, sampling.top_p)
            for block, noise_of, at in blocks
        ]
    )


def _draw(probabilities: Tensor, seeds: Tensor, steps: Tensor, top_p: float) -> Tensor:
    # The argmax of p / E is that of log p + Gumbel noise, which is -log E: a logarithm less.
    noisy = probabilities / exponential(seeds, steps, probabilities.shape[-1])
    return noisy.argmax(dim=-1) if top_p == 1 else best_of_nucleus(noisy, probabilities, top_p)


def best_of_nucleus(noisy: Tensor, probabilities: Tensor, top_p: float) -> Tensor:
    """The argmax of `noisy` over the tokens of the nucleus, int64 [E]; arguments: [E, V].

    Found without sorting the vocabulary: a best token outside the nucleus is left out, with all
    that are no more probable, and the next best is looked at.
    """
    tokens = noisy.argmax(dim=-1)
    rows = torch.arange(len(tokens), device=tokens.device)
    found = tokens.clone()
    while len(rows := rows[outside := mass_above(probabilities, tokens) >= top_p]):
        noisy, probabilities, tokens = noisy[outside], probabilities[outside], tokens[outside]
        no_more = probabilities <= probabilities.gather(-1, tokens[:, None])
        tokens = noisy.masked_fill_(no_more, -torch.inf).argmax(dim=-1)
        found[rows] = tokens
    return found


def mass_above(probabilities: Tensor, tokens: Tensor) -> Tensor:
    """The sum of the probabilities greater than that of `tokens` [E], in each row of [E, V].

    A token belongs to the nucleus of top_p (Holtzman et al. 2020) where this is less than top_p:
    the most probable tokens until their sum reaches top_p, and all that equal the last of them.
    Order in the vocabulary decides nothing.

    >>> mass_above(torch.tensor([[0.125, 0.5, 0.25, 0.125]]), torch.tensor([3]))
    tensor([0.7500])
    """
    greater = probabilities > probabilities.gather(-1, tokens[:, None])
    return (probabilities * greater).sum(dim=-1)


def exponential(seeds: Tensor, steps: Tensor, size: int) -> Tensor:
    """Standard exponential noise E of `size` tokens, float32 [E, size]; seeds, steps: int64 [E].

    A step has a sequence of its own, whose number n holds the noise of the tokens 2n and 2n + 1.
    """
    pairs = torch.arange((size + 1) // 2, device=seeds.device)
    words = splitmix(splitmix(seeds, steps)[:, None], pairs).view(torch.int32)[:, :size]
    # -log(1 - u): what makes an improbable token win is a u near 0, where floats are dense.
    return uniform(words).neg_().log1p_().neg_()


def uniform(words: Tensor) -> Tensor:
    """31 bits of int32 as a float32 inside (0, 1): at either end the noise would be infinite.

    >>> uniform(torch.tensor([0, 1 << 30, -1], dtype=torch.int32)).tolist()
    [2.3283062977608182e-10, 0.4999999701976776, 0.9999999403953552]
    """
    # The factor, a little below 2**-31, because the largest bits are rounded up to 2**31.
    return words.bitwise_and(0x7FFFFFFF).float().add_(0.5).mul_(2.0**-31 * (1 - 2.0**-24))


def splitmix(seeds: Tensor, numbers: Tensor) -> Tensor:
    """Output `numbers` of the SplitMix64 sequences of `seeds`; int64, broadcast."""
    z = seeds + (numbers + 1) * _signed(_GAMMA)
    for shift, factor in _MIX:
        z.bitwise_xor_(_shifted(z, shift)).mul_(_signed(factor))
    return z.bitwise_xor_(_shifted(z, 31))


def _signed(value: int) -> int:
    """A number of 64 bits as the signed integer that torch knows."""
    return value - (1 << 64) if value >= 1 << 63 else value


def _shifted(z: Tensor, bits: int) -> Tensor:
    """Logical shift to the right; torch's own copies the sign."""
    return (z >> bits).bitwise_and_((1 << (64 - bits)) - 1)
