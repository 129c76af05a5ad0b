"""The sampler: logits of ensembles -> the next token of each, and its log-score.

The best token, or a drawn one by the Gumbel-max trick (Gumbel 1954; Maddison et al. 2014): add
independent Gumbel noise to the log-probability of every token and take the largest sum; the token
is then distributed like the softmax. A token depends on the scores and on the draw's seed and step
alone, so it is equal in every batch.

Two distributions that share their noise give different tokens with a probability of at most
2d / (1 + d), where d is their total variation distance. The usual walk through the cumulative sum
has no such bound: the smallest change of one logit moves every later boundary.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from common.methods import Fusion
from common.run import SamplingParams
from worker.engine.ensemble_batch import EnsembleBatch
from worker.engine.fusions import FUSIONS
from worker.engine.noise import exponential

_BLOCK = 1 << 21
"""Noise values computed at once; bounds their memory."""


class Sampler:
    """Picks the next tokens. pick_best: eager or compiled."""

    def __init__(self, pick_best: "PickBest") -> None:
        self.pick_best = pick_best

    def pick(
        self, logits: Tensor, batch: EnsembleBatch, steps: Tensor, forced: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Return the next token of each ensemble of a batch and its log-score, [E] each.

        logits: of every row, [B, V]. steps: index of the token in the answer, [E]. forced: as in
        `pick_best`.
        """
        if batch.sampling is None:
            gathered = gather_logits(logits, batch.rows)
            return self.pick_best(gathered, batch.fusion, batch.weights, forced)
        gathered = gather_logits(logits, batch.distinct_rows)
        scores = FUSIONS[batch.fusion](gathered.float(), None)
        # Rows of NaN are sampled as if tokens were equally likely; their log-scores stay NaN.
        numbers = scores.masked_fill(scores.isnan(), 0.0)
        tokens = sample_tokens(numbers, batch.sampling, batch.seeds, steps, batch.place)
        tokens = choose(tokens, forced)
        return tokens, scores[batch.place, tokens]


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
    probable as the last one; the order in the vocabulary plays no role.

    >>> mass_above(torch.tensor([[0.125, 0.5, 0.25, 0.125]]), torch.tensor([3]))
    tensor([0.7500])
    """
    greater = probabilities > probabilities.gather(-1, tokens[:, None])
    return (probabilities * greater).sum(dim=-1)
