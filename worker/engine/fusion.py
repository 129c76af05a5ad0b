"""Fusion: how the logits of streams that decode together become one next token.

Each function takes logits [E, S, V] (E ensembles of S streams) in float32 and returns
log-scores [E, V]; the next token is their argmax.
"""

from collections.abc import Callable

from torch import Tensor

from common.methods import Fusion


def own(logits: Tensor) -> Tensor:
    """The one stream's own log-probabilities; S is 1."""
    return logits[:, 0].log_softmax(dim=-1)


def mean_logits(logits: Tensor) -> Tensor:
    """Log-probabilities of the mean of the streams' logits."""
    return logits.mean(dim=1).log_softmax(dim=-1)


def max_probability(logits: Tensor) -> Tensor:
    """Log of the largest probability any stream gives a token; not normalised."""
    return logits.log_softmax(dim=-1).amax(dim=1)


FUSIONS: dict[Fusion, Callable[[Tensor], Tensor]] = {
    "own": own,
    "mean_logits": mean_logits,
    "max_probability": max_probability,
}
