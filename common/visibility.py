"""Visibility tables: which group of a packed prompt sees which, as bool [N + 2, N + 2].

Group 0 is the shared prefix, groups 1..N are the paraphrases, group N + 1 is the fused tail.
`visible[q_group, kv_group]` is True where a query sees a key. The mask
(`worker.engine.attention.masks`) adds causality, so a table may hold True for later groups. Every
mask, and every picture of a mask, comes from one of VISIBILITIES.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from common.methods import Visibility

Table = np.ndarray[Any, np.dtype[np.bool_]]


def generate_isolated_visibility(num_segments: int, num_manual: int = 0) -> Table:
    """Let every group see itself and the prefix, and the tail see all groups.

    >>> generate_isolated_visibility(2).astype(int)
    array([[1, 0, 0, 0],
           [1, 1, 0, 0],
           [1, 0, 1, 0],
           [1, 1, 1, 1]])
    """
    visible = np.eye(num_segments + 2, dtype=bool)
    visible[:, 0] = True
    visible[-1] = True
    return visible


def generate_cross_manual_visibility(num_segments: int, num_manual: int = 0) -> Table:
    """As isolated, but the first `num_manual` paraphrases see each other.

    >>> generate_cross_manual_visibility(3, 2).astype(int)
    array([[1, 0, 0, 0, 0],
           [1, 1, 1, 0, 0],
           [1, 1, 1, 0, 0],
           [1, 0, 0, 1, 0],
           [1, 1, 1, 1, 1]])
    """
    visible = generate_isolated_visibility(num_segments)
    visible[1 : num_manual + 1, 1 : num_manual + 1] = True
    return visible


def generate_causal_visibility(num_segments: int, num_manual: int = 0) -> Table:
    """Let every group see all earlier groups, as in plain text.

    >>> generate_causal_visibility(1).astype(int)
    array([[1, 0, 0],
           [1, 1, 0],
           [1, 1, 1]])
    """
    return np.tri(num_segments + 2, dtype=bool)


VISIBILITIES: dict[Visibility, Callable[[int, int], Table]] = {
    "isolated": generate_isolated_visibility,
    "cross_manual": generate_cross_manual_visibility,
    "causal": generate_causal_visibility,
}


def length_bias(lengths: list[int]) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Bias [N + 2] that the tail adds to its scores on the keys of each group.

    lengths: tokens of every group. A paraphrase gets the mean log-length of the paraphrases minus
    its own, so a long one weighs no more than a short one, and paraphrases of equal length get 0.
    With -log(length) alone, all paraphrases would fall behind the prefix and the tail's own keys,
    whose bias is 0, and the tail would hardly read them.

        >>> length_bias([7, 2, 8, 2]).round(2).tolist()
        [0.0, 0.6899999976158142, -0.6899999976158142, 0.0]
    """
    bias = np.zeros(len(lengths), dtype=np.float32)
    logs = np.log(np.maximum(1, lengths[1:-1]))
    bias[1:-1] = logs.mean() - logs
    return bias
