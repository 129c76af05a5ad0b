"""Cascade attention: keys that all queries share are read once, each query's own beside them.

Scores with both are computed apart, as two plain matrix products, and meet in one softmax, so
the result is that of attention over all keys (Hydragen, Juravsky et al. 2024). Knows tensors
only: who sees what is said by the biases, -inf for a key that is not seen.
"""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from worker.engine.compiled import eager_if_single
from worker.engine.rotate import rotate


class Shared(NamedTuple):
    """Keys that all B rows of queries share, seen at V shifts each.

    keys, values: [H_kv, P, D or D_v]. bias: float32 [B, V, P]. rotation: cos and sin, float32
    [B, V, D], that move the query instead of the keys; None where V is 1 and nothing is shifted.
    """

    keys: Tensor
    values: Tensor
    bias: Tensor
    rotation: tuple[Tensor, Tensor] | None = None


class Own(NamedTuple):
    """Keys of each row alone.

    keys, values: [B, H_kv, L, D or D_v]. bias: float32 [B, T or 1, L].
    """

    keys: Tensor
    values: Tensor
    bias: Tensor


def shared_keys(
    keys: Tensor, values: Tensor, bias: Tensor, rotation: tuple[Tensor, Tensor] | None = None
) -> Shared:
    """As given; fewer than two keys are filled up with keys that nobody sees.

    Softmax over none is not defined, and a size of 1 would be compiled for apart.
    """
    if (missing := 2 - keys.shape[1]) > 0:
        keys, values = (pad(x, (0, 0, 0, missing)) for x in (keys, values))
        bias = pad(bias, (0, missing), value=-torch.inf)
    return Shared(keys, values, bias, rotation)


Attend = Callable[[Tensor, Shared, Own], Tensor]


def cascade(query: Tensor, shared: Shared, own: Own) -> Tensor:
    """B rows of T queries each, [B, H_kv, G, T, D], scaled already -> [B, H_kv, G, T, D_v].

    Softmax is in float32 and subtracts the highest score; each row must see some key.
    """
    prefix_scores = _score_prefix(query, shared)
    suffix_scores = _score_suffix(query, own)
    highest = torch.maximum(
        prefix_scores.amax(dim=(-2, -1)), suffix_scores.amax(dim=-1).transpose(0, 1)
    )
    # The views of a shared key have one value: what they weigh is added up before it is read.
    prefix_weights = (prefix_scores - highest[..., None, None]).exp().sum(dim=-2)
    suffix_weights = (suffix_scores - highest.transpose(0, 1)[..., None]).exp()
    total = prefix_weights.sum(dim=-1).transpose(0, 1) + suffix_weights.sum(dim=-1)
    kv_heads, *rows, num_shared = prefix_weights.shape
    read = prefix_weights.to(query.dtype).reshape(kv_heads, -1, num_shared) @ shared.values
    output = read.view(kv_heads, *rows, -1).transpose(0, 1) + _own_values(suffix_weights, own)
    return (output / total[..., None]).to(query.dtype)


def _score_prefix(query: Tensor, shared: Shared) -> Tensor:
    """float32 [H_kv, B, G, T, V, P], by one matmul for all rows."""
    seen = query.transpose(0, 1)[..., None, :]
    if shared.rotation is not None:
        cos, sin = (t[:, None, None] for t in shared.rotation)
        seen = rotate(seen, cos, sin)
    rows = seen.reshape(seen.shape[0], -1, seen.shape[-1])
    scores = rows @ shared.keys.transpose(-1, -2)
    return scores.view(*seen.shape[:-1], -1).float() + shared.bias[:, None, None]


def _score_suffix(query: Tensor, own: Own) -> Tensor:
    """float32 [B, H_kv, G, T, L]."""
    if _by_sums(query):
        scores = (query.float() * own.keys[:, :, None].float()).sum(dim=-1)[..., None, :]
    else:
        rows = query.flatten(2, 3) @ own.keys.transpose(-1, -2)
        scores = rows.unflatten(2, query.shape[2:4]).float()
    return scores + own.bias[:, None, None]


def _own_values(weights: Tensor, own: Own) -> Tensor:
    """Weights [B, H_kv, G, T, L] -> [B, H_kv, G, T, D]."""
    if _by_sums(weights):
        read = weights.transpose(-1, -2) * own.values[:, :, None].float()
        return read.sum(dim=-2)[..., None, :]
    read = weights.to(own.values.dtype).flatten(2, 3) @ own.values
    output: Tensor = read.unflatten(2, weights.shape[2:4])
    return output


def _by_sums(query: Tensor) -> bool:
    """Whether to multiply and add up: for one query a row, compiled, on a CPU.

    A batch of matrix products of three rows each took 2 to 4 times as long there; eagerly the
    products would all be written out.
    """
    return query.shape[3] == 1 and query.device.type == "cpu" and torch.compiler.is_compiling()


@cache
def compiled_cascade() -> Attend:
    """`cascade` compiled for dynamic shapes, without graph breaks."""
    compiled: Attend = torch.compile(cascade, dynamic=True, fullgraph=True)

    def attend(query: Tensor, shared: Shared, own: Own) -> Tensor:
        with eager_if_single(min(len(query), own.keys.shape[2])):
            return compiled(query, shared, own)

    return attend
