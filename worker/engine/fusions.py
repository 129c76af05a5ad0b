"""Fusion: how the logits of sequences that decode together become one next token.

Each function takes logits [E, S, V] (E ensembles of S sequences) in float32 and the sequences'
weights [E, S], and returns log-scores [E, V]; the next token is their argmax.
"""

from collections.abc import Callable

from torch import Tensor

from common.methods import Fusion


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
