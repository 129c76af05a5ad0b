"""common.visibility: every table against its definition; the length bias by hand."""

import math

import numpy as np
import pytest

from common.methods import METHODS
from common.visibility import VISIBILITIES, length_bias


def sees(name, query, key, num_segments, num_manual):
    """Whether a group sees another, by the definition in words."""
    tail = num_segments + 1
    if name == "causal":
        return key <= query
    if query in (tail, key) or key == 0:
        return True
    manual = range(1, num_manual + 1)
    return name == "cross_manual" and query in manual and key in manual


@pytest.mark.parametrize(
    ("num_segments", "num_manual"),
    [(1, 0), (1, 1), (2, 0), (2, 2), (5, 0), (5, 1), (5, 3), (5, 5), (11, 2), (11, 11)],
)
@pytest.mark.parametrize("name", VISIBILITIES)
def test_a_table_is_its_definition(name, num_segments, num_manual):
    table = VISIBILITIES[name](num_segments, num_manual)
    groups = range(num_segments + 2)
    expected = [[sees(name, q, k, num_segments, num_manual) for k in groups] for q in groups]
    assert table.dtype == np.bool_
    assert table.tolist() == expected


@pytest.mark.parametrize("num_manual", [0, 1])
def test_fewer_than_two_manual_paraphrases_have_nobody_to_see(num_manual):
    cross = VISIBILITIES["cross_manual"](5, num_manual)
    assert np.array_equal(cross, VISIBILITIES["isolated"](5, num_manual))


def test_two_manual_paraphrases_see_each_other_both_ways():
    """The table holds both directions; the mask adds causality."""
    extra = VISIBILITIES["cross_manual"](4, 2) ^ VISIBILITIES["isolated"](4, 2)
    assert np.argwhere(extra).tolist() == [[1, 2], [2, 1]]


def test_every_visibility_a_method_names_has_a_table():
    assert {method.visibility for method in METHODS.values()} == set(VISIBILITIES)


@pytest.mark.parametrize(
    ("lengths", "expected"),
    [
        # Logs ln 2 and ln 8 = 3 ln 2, their mean 2 ln 2.
        ([7, 2, 8, 2], [0, math.log(2), -math.log(2), 0]),
        # Lengths 1, 3 and 9: the mean is ln 3.
        ([4, 1, 3, 9, 1], [0, math.log(3), 0, -math.log(3), 0]),
        ([9, 5, 5, 5, 3], [0, 0, 0, 0, 0]),
        ([9, 5, 3], [0, 0, 0]),
        # An empty paraphrase counts as one token.
        ([1, 0, 1, 1], [0, 0, 0, 0]),
    ],
)
def test_the_length_bias_is_what_it_is_by_hand(lengths, expected):
    assert length_bias(lengths).tolist() == pytest.approx(expected, abs=1e-6)


def test_corrected_paraphrases_weigh_alike_whatever_their_length():
    """With equal scores a paraphrase's share of the softmax is its length times exp(bias)."""
    lengths = [7, 3, 13, 5, 2]
    weights = [n * math.exp(b) for n, b in zip(lengths, length_bias(lengths), strict=True)]
    assert weights[1:-1] == pytest.approx([weights[1]] * 3, rel=1e-6)
    geometric_mean = (3 * 13 * 5) ** (1 / 3)
    assert weights[1] == pytest.approx(geometric_mean, rel=1e-6)
