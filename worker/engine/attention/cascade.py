"""Cascade attention: one copy of the prefix keys for all rows, and suffix keys of each row.

Prefix and suffix scores are computed separately, as two plain matrix products, and combined in
one softmax, so the result equals attention over all keys (Hydragen, Juravsky et al. 2024). This
module knows tensors only: biases say who sees what, -inf for a key that is not seen.
"""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from worker.engine.compiled import eager_if_single
from worker.engine.rope import rotate


class Shared(NamedTuple):
    """Prefix keys: shared by all B rows of queries, read by each row at O offsets.

    keys, values: [H_kv, P, D or D_v]. bias: float32 [B, O, P]. rotation: cos and sin, float32
    [B, O, D], which move the query instead of the keys; None if O is 1 and the offset is 0.
    """

    keys: Tensor
    values: Tensor
    bias: Tensor
    rotation: tuple[Tensor, Tensor] | None = None


class Own(NamedTuple):
    """Suffix keys: those of each row alone.

    keys, values: [B, H_kv, L, D or D_v]. bias: float32 [B, T or 1, L].
    """

    keys: Tensor
    values: Tensor
    bias: Tensor


def shared_keys(
    keys: Tensor, values: Tensor, bias: Tensor, rotation: tuple[Tensor, Tensor] | None = None
) -> Shared:
    """Make a Shared of at least two keys, padded with keys that nobody sees.

    A softmax over no keys is not defined, and torch would compile a size of 1 separately.
    """
    if (missing := 2 - keys.shape[1]) > 0:
        keys, values = (pad(x, (0, 0, 0, missing)) for x in (keys, values))
        bias = pad(bias, (0, missing), value=-torch.inf)
    return Shared(keys, values, bias, rotation)


AttendCascade = Callable[[Tensor, Shared, Own], Tensor]


def cascade(query: Tensor, shared: Shared, own: Own) -> Tensor:
    """Attend from B rows of T scaled queries, [B, H_kv, G, T, D] -> [B, H_kv, G, T, D_v].

    Softmax is in float32 and subtracts the highest score; each row must see at least one key.
    """
    prefix_scores = _score_prefix(query, shared)
    suffix_scores = _score_suffix(query, own)
    highest = torch.maximum(
        prefix_scores.amax(dim=(-2, -1)), suffix_scores.amax(dim=-1).transpose(0, 1)
    )
    # A shared key has one value at all offsets, so its weights are added before it is read.
    prefix_weights = (prefix_scores - highest[..., None, None]).exp().sum(dim=-2)
    suffix_weights = (suffix_scores - highest.transpose(0, 1)[..., None]).exp()
    total = prefix_weights.sum(dim=-1).transpose(0, 1) + suffix_weights.sum(dim=-1)
    kv_heads, *rows, num_shared = prefix_weights.shape
    read = prefix_weights.to(query.dtype).reshape(kv_heads, -1, num_shared) @ shared.values
    output = read.view(kv_heads, *rows, -1).transpose(0, 1) + _own_values(suffix_weights, own)
    return (output / total[..., None]).to(query.dtype)


def _score_prefix(query: Tensor, shared: Shared) -> Tensor:
    """Prefix scores, float32 [H_kv, B, G, T, O, P], by one matmul for all rows."""
    moved = query.transpose(0, 1)[..., None, :]
    if shared.rotation is not None:
        cos, sin = (t[:, None, None] for t in shared.rotation)
        moved = rotate(moved, cos, sin)
    rows = moved.reshape(moved.shape[0], -1, moved.shape[-1])
    scores = rows @ shared.keys.transpose(-1, -2)
    return scores.view(*moved.shape[:-1], -1).float() + shared.bias[:, None, None]


def _score_suffix(query: Tensor, own: Own) -> Tensor:
    """Suffix scores, float32 [B, H_kv, G, T, L]."""
    if _by_sums(query):
        scores = (query.float() * own.keys[:, :, None].float()).sum(dim=-1)[..., None, :]
    else:
        rows = query.flatten(2, 3) @ own.keys.transpose(-1, -2)
        scores = rows.unflatten(2, query.shape[2:4]).float()
    return scores + own.bias[:, None, None]


def _own_values(weights: Tensor, own: Own) -> Tensor:
    """Suffix values by weight: weights [B, H_kv, G, T, L] -> [B, H_kv, G, T, D_v]."""
    if _by_sums(weights):
        read = weights.transpose(-1, -2) * own.values[:, :, None].float()
        return read.sum(dim=-2)[..., None, :]
    read = weights.to(own.values.dtype).flatten(2, 3) @ own.values
    output: Tensor = read.unflatten(2, weights.shape[2:4])
    return output


def _by_sums(query: Tensor) -> bool:
    """Whether to multiply and sum instead of a matmul: one query a row, compiled, on a CPU.

    There a batch of matrix products of three rows each took 2 to 4 times as long. Eager code would
    write all products to memory.
    """
    return query.shape[3] == 1 and query.device.type == "cpu" and torch.compiler.is_compiling()


@cache
def compiled_cascade() -> AttendCascade:
    """`cascade` compiled for dynamic shapes, without graph breaks."""
    compiled: AttendCascade = torch.compile(cascade, dynamic=True, fullgraph=True)

    def attend(query: Tensor, shared: Shared, own: Own) -> Tensor:
        with eager_if_single(min(len(query), own.keys.shape[2])):
            return compiled(query, shared, own)

    return attend
