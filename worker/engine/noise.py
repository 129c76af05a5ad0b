"""Noise of draws: a hash of seed, step and token id (SplitMix64, Steele et al. 2014).

No generator is shared, so neither the batch nor the worker changes a draw.
"""

import torch
from torch import Tensor

_GAMMA = 0x9E3779B97F4A7C15
_MIX = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))


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
