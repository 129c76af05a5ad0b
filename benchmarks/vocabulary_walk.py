"""Drawing by a walk through the cumulative sum, to compare with `worker.engine.sampler`.

Each draw takes one uniform number. The token is the first, in the order of the vocabulary, at
which the cumulative probability of the nucleus passes that number (inverse transform sampling).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor

from common.run import SamplingParams
from worker.engine import sampler
from worker.engine.noise import splitmix


def sample_by_walk(
    scores: Tensor,
    sampling: SamplingParams,
    seeds: Tensor,
    steps: Tensor,
    rows: Tensor | None = None,
) -> Tensor:
    """Draw token ids, with the arguments and result of `sampler.sample_tokens`."""
    probabilities = (scores / sampling.temperature).softmax(dim=-1)
    probabilities = probabilities if rows is None else probabilities.index_select(0, rows)
    if sampling.top_p < 1:
        outside = probabilities < least_probable(probabilities, sampling.top_p)
        probabilities = probabilities.masked_fill(outside, 0)
    reached = probabilities.double().cumsum(dim=-1)
    numbers = (splitmix(seeds, steps) >> 11 & (1 << 53) - 1).double() * 2.0**-53
    place = torch.searchsorted(reached, numbers[:, None] * reached[:, -1:], right=True)
    return place.clamp(max=scores.shape[-1] - 1)[:, 0]


def least_probable(probabilities: Tensor, top_p: float) -> Tensor:
    """Probability of the least probable token in the nucleus, [E, 1].

    >>> least_probable(torch.tensor([[0.125, 0.5, 0.25, 0.125]]), 0.7)
    tensor([[0.2500]])
    """
    ordered = _descending(probabilities)
    needed = (ordered.cumsum(dim=-1) - ordered < top_p).sum(dim=-1, keepdim=True)
    return ordered.gather(-1, needed - 1)


def _descending(values: Tensor) -> Tensor:
    if values.device.type != "cpu":
        return values.sort(dim=-1, descending=True).values
    # On a CPU numpy sorts many times faster than torch.
    return torch.from_numpy(np.sort(values.numpy(), axis=-1)).flip(-1)


@contextmanager
def drawing_by_walk() -> Iterator[None]:
    """Make engines draw by the walk inside the block. Engines have no switch for the walk."""
    with patch.object(sampler, "sample_tokens", sample_by_walk):
        yield
