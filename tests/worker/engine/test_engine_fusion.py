"""Fusion functions compared with probabilities worked out by hand."""

import math

import pytest
import torch

from common.methods import METHODS
from worker.engine.fusions import FUSIONS, max_probability, mean_logits, own

# Two sequences over three tokens. exp of the rows: (1, 2, 5) sums to 8 and (6, 3, 3) to 12.
SEQUENCES = [[1.0, 2.0, 5.0], [6.0, 3.0, 3.0]]

TOGETHER = ["mean_logits", "max_probability", "weighted_mean"]
"""Fusions of several sequences."""


def logits_of(rows):
    return torch.tensor(rows).log()[None]


def weights_of(logits):
    """Random weights for the sequences, [E, S]."""
    return torch.rand(logits.shape[:2], generator=torch.Generator().manual_seed(5))


def test_own_gives_the_log_probabilities_of_its_sequence():
    scores = own(logits_of(SEQUENCES[:1]))
    torch.testing.assert_close(scores.exp(), torch.tensor([[1 / 8, 2 / 8, 5 / 8]]))


def test_mean_of_logits_is_the_normalized_geometric_mean():
    weights = [math.sqrt(6), math.sqrt(6), math.sqrt(15)]
    scores = mean_logits(logits_of(SEQUENCES))
    wanted = torch.tensor([[w / sum(weights) for w in weights]])
    torch.testing.assert_close(scores.exp(), wanted)


def test_max_takes_each_tokens_largest_probability():
    scores = max_probability(logits_of(SEQUENCES))
    torch.testing.assert_close(scores.exp(), torch.tensor([[6 / 12, 3 / 12, 5 / 8]]))


def test_the_probabilities_of_max_are_those_of_no_distribution():
    assert float(max_probability(logits_of(SEQUENCES)).exp().sum()) == pytest.approx(
        6 / 12 + 3 / 12 + 5 / 8
    )


def test_max_compares_probabilities_and_not_logits():
    loud = [[100.0, 100.0, 100.0], [1.0, 98.0, 1.0]]
    assert max_probability(logits_of(loud)).argmax() == 1


@pytest.mark.parametrize("name", FUSIONS)
def test_equal_sequences_fuse_to_their_own_distribution(name):
    logits = torch.randn(5, 1, 17, generator=torch.Generator().manual_seed(3))
    sequences = logits.expand(5, 1 if name in ("own", "vote") else 7, 17)
    fused = FUSIONS[name](sequences, weights_of(sequences))
    torch.testing.assert_close(fused, logits[:, 0].log_softmax(-1))


@pytest.mark.parametrize("name", TOGETHER)
def test_the_order_of_sequences_does_not_matter(name):
    logits = torch.randn(3, 5, 17, generator=torch.Generator().manual_seed(3))
    weights = weights_of(logits)
    reverse = FUSIONS[name](logits.flip(1), weights.flip(1))
    torch.testing.assert_close(reverse, FUSIONS[name](logits, weights))


@pytest.mark.parametrize("name", TOGETHER)
def test_ensembles_of_a_batch_do_not_mix(name):
    logits = torch.randn(3, 5, 17, generator=torch.Generator().manual_seed(3))
    weights = weights_of(logits)
    pairs = zip(logits, weights, strict=True)
    alone = torch.cat([FUSIONS[name](one[None], weight[None]) for one, weight in pairs])
    torch.testing.assert_close(FUSIONS[name](logits, weights), alone)


def test_every_fusion_a_method_names_exists():
    assert {method.fusion for method in METHODS.values()} <= set(FUSIONS)
