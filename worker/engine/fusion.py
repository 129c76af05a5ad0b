"""Fusion: how the logits of streams that decode together become one next token.

Each function takes logits [E, S, V] (E ensembles of S streams) in float32 and the streams'
weights [E, S], and returns log-scores [E, V]; the next token is their argmax.
"""

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from common.methods import Fusion
from worker.engine.compiled import eager_if_single


def own(logits: Tensor, weights: Tensor | None = None) -> Tensor:
    """The one stream's own log-probabilities; S is 1."""
    return logits[:, 0].log_softmax(dim=-1)


def mean_logits(logits: Tensor, weights: Tensor | None = None) -> Tensor:
    """Log-probabilities of the mean of the streams' logits."""
    return logits.mean(dim=1).log_softmax(dim=-1)


def max_probability(logits: Tensor, weights: Tensor | None = None) -> Tensor:
    """Log of the largest probability any stream gives a token; not normalised."""
    return logits.log_softmax(dim=-1).amax(dim=1)


def weighted_mean(logits: Tensor, weights: Tensor | None = None) -> Tensor:
    """Log-probabilities of the weighted mean of the streams' logits.

    Weights count by their share; where all of an ensemble are 0 its streams count alike.
    """
    if weights is None:
        raise ValueError("weighted_mean needs the weights of the streams")
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
"""Streams that vote keep their own logits; their answers meet when they are complete."""


def pick_best(
    logits: Tensor, rows: Tensor, fusion: Fusion, weights: Tensor | None
) -> tuple[Tensor, Tensor]:
    """The best next token of each ensemble and its log-score, [E] each.

    logits: [B, V] of all rows, in any dtype. rows: of each ensemble's streams, [E, S].
    """
    scores = FUSIONS[fusion](logits[rows].float(), weights)
    tokens = scores.argmax(dim=-1)
    return tokens, scores.gather(-1, tokens[:, None])[:, 0]


PickBest = Callable[[Tensor, Tensor, Fusion, Tensor | None], tuple[Tensor, Tensor]]


@cache
def compiled_pick_best() -> PickBest:
    """`pick_best` compiled for dynamic shapes: the vocabulary is passed over, not copied."""
    compiled: PickBest = torch.compile(pick_best, dynamic=True, fullgraph=True)

    def pick(
        logits: Tensor, rows: Tensor, fusion: Fusion, weights: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        with eager_if_single(min(len(logits), len(rows))):
            return compiled(logits, rows, fusion, weights)

    return pick
