"""Visibility tables: which group of a packed prompt sees which, as bool [N + 2, N + 2].

Group 0 is the shared prefix, groups 1..N are the paraphrases, group N + 1 is the fused tail.
`visible[q_group, kv_group]` says who sees whom; that earlier tokens alone are seen is the
mask's business (`worker.engine.masks`), so a table may say True for later groups. Every mask
there is is a row of VISIBILITIES, and every picture of one is drawn from it.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from common.methods import Visibility

Table = np.ndarray[Any, np.dtype[np.bool_]]


def generate_isolated_visibility(num_segments: int, num_manual: int = 0) -> Table:
    """Every group sees itself and the prefix; the tail sees all.

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
    """Isolated, but the first `num_manual` paraphrases see each other.

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
    """No isolation, as if the prompt were plain text: every group sees all before it.

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
    """What the tail adds to its scores with the keys of each group: -log of its length.

    lengths: tokens of every group. Taken from the paraphrases' mean log-length: then those of
    equal length stay as they are, and a long one weighs no more than a short one. Without that
    constant they would all fall behind the prefix and the tail's own keys, whose bias is 0; a
    prompt is then as good as not read.

        >>> length_bias([7, 2, 8, 2]).round(2).tolist()
        [0.0, 0.6899999976158142, -0.6899999976158142, 0.0]
    """
    bias = np.zeros(len(lengths), dtype=np.float32)
    logs = np.log(np.maximum(1, lengths[1:-1]))
    bias[1:-1] = logs.mean() - logs
    return bias
