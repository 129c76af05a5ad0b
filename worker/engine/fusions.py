"""Fusion: how the logits of sequences that decode together become one next token.

Each function takes logits [E, S, V] (E ensembles of S sequences) in float32 and the sequences'
weights [E, S], and returns log-scores [E, V]; the next token is their argmax.
"""

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from common.methods import Fusion
from worker.engine.compiled import eager_if_single


def own(logits: Tensor, weights: Tensor | None = None) -> Tensor:
    """Log-probabilities of the only sequence; S is 1."""
    return logits[:, 0].log_softmax(dim=-1)


def mean_logits(logits: Tensor, weights: Tensor | None = None) -> Tensor:
    """Log-probabilities of the mean of the sequences' logits."""
    return logits.mean(dim=1).log_softmax(dim=-1)


def max_probability(logits: Tensor, weights: Tensor | None = None) -> Tensor:
    """Log of the largest probability that any sequence gives a token; not normalized."""
    return logits.log_softmax(dim=-1).amax(dim=1)


def weighted_mean(logits: Tensor, weights: Tensor | None = None) -> Tensor:
    """Log-probabilities of the weighted mean of the sequences' logits.

    Weights are divided by their sum. If all weights of an ensemble are 0, its sequences count
    alike. Raises ValueError without weights.
    """
    if weights is None:
        raise ValueError("weighted_mean needs the weights of the sequences")
    total = weights.sum(dim=1, keepdim=True)
    shares = (weights / total).where(total > 0, 1 / weights.shape[1])
    return (shares[..., None] * logits).sum(dim=1).log_softmax(dim=-1)


FUSIONS: dict[Fusion, Callable[[Tensor, Tensor | None], Tensor]] = {
    "own": own,
    "mean_logits": mean_logits,
    "max_probability": max_probability,
    "weighted_mean": weighted_mean,
    "vote": own,
}
"""Sequences that vote keep their own logits; the vote is taken on their complete answers."""


def gather_logits(logits: Tensor, rows: Tensor) -> Tensor:
    """Gather logits [B, V] by ensemble: rows [E, S] -> [E, S, V]."""
    # Not logits[rows]: that took nine times as long on a CPU.
    return logits.index_select(0, rows.flatten()).view(*rows.shape, -1)


def pick_best(
    logits: Tensor, fusion: Fusion, weights: Tensor | None, forced: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return the best next token of each ensemble and its log-score, [E] each.

    logits: [E, S, V], in any dtype. forced: the token to take instead, int64 [E]; -1 for the best.
    """
    scores = FUSIONS[fusion](logits.float(), weights)
    tokens = choose(scores.argmax(dim=-1), forced)
    return tokens, scores.gather(-1, tokens[:, None])[:, 0]


def choose(tokens: Tensor, forced: Tensor | None) -> Tensor:
    """Return the forced token where there is one, not -1; else the token picked, int64 [E]."""
    return tokens if forced is None else torch.where(forced < 0, tokens, forced)


PickBest = Callable[[Tensor, Fusion, Tensor | None, Tensor | None], tuple[Tensor, Tensor]]
"""A form of `pick_best`."""


@cache
def compiled_pick_best() -> PickBest:
    """`pick_best` compiled for dynamic shapes; it reads the logits without a float32 copy."""
    compiled: PickBest = torch.compile(pick_best, dynamic=True, fullgraph=True)

    def pick(
        logits: Tensor, fusion: Fusion, weights: Tensor | None, forced: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        with eager_if_single(len(logits)):
            return compiled(logits, fusion, weights, forced)

    return pick
