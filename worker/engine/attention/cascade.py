"""Cascade attention: one copy of the prefix keys for all rows, and suffix keys of each row.

Prefix and suffix scores are computed separately, as two plain matrix products, and combined in
one softmax, so the result equals attention over all keys (Hydragen, Juravsky et al. 2024). This
module knows tensors only: biases say who sees what, -inf for a key that is not seen.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import pad

from worker.model.rope import rotate

AttendCascade = Callable[..., Tensor]
"""A form of `cascade`."""


def pad_prefix(keys: Tensor, values: Tensor, bias: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return at least two prefix keys, padded with keys that nobody sees; shapes as in `cascade`.

    A softmax over no keys is not defined, and torch would compile a size of 1 separately.
    """
    if (missing := 2 - keys.shape[1]) > 0:
        keys, values = (pad(x, (0, 0, 0, missing)) for x in (keys, values))
        bias = pad(bias, (0, missing), value=-torch.inf)
    return keys, values, bias


def cascade(
    query: Tensor,
    prefix_keys: Tensor,
    prefix_values: Tensor,
    prefix_bias: Tensor,
    suffix_keys: Tensor,
    suffix_values: Tensor,
    suffix_bias: Tensor,
    rotation: tuple[Tensor, Tensor] | None = None,
    softcap: float | None = None,
) -> Tensor:
    """Attend from B rows of T scaled queries, [B, H_kv, G, T, D] -> [B, H_kv, G, T, D_v].

    Softmax is in float32 and subtracts the highest score; each query must see at least one key.

    prefix_keys, prefix_values: [H_kv, P, D or D_v], shared by all rows, read by each row at O
    offsets; P is at least 2 (`pad_prefix`). prefix_bias: float32 [B, T or 1, O, P].
    suffix_keys, suffix_values: [B, H_kv, L, D or D_v], of each row alone. suffix_bias: float32
    [B, T or 1, L]. rotation: cos and sin, float32 [B, O, D], which move the query instead of the
    prefix keys; None if O is 1 and the offset is 0. softcap: scores s become
    softcap * tanh(s / softcap) before biases are added; None for s.
    """
    prefix_scores = _score_prefix(query, prefix_keys, rotation)
    prefix_scores = _capped(prefix_scores, softcap) + prefix_bias[:, None]
    suffix_scores = _capped(_score_suffix(query, suffix_keys), softcap)
    suffix_scores = suffix_scores + suffix_bias[:, None, None]
    highest = torch.maximum(
        prefix_scores.amax(dim=(-2, -1)), suffix_scores.amax(dim=-1).transpose(0, 1)
    )
    # A prefix key has one value at all offsets, so its weights are added before it is read.
    prefix_weights = (prefix_scores - highest[..., None, None]).exp().sum(dim=-2)
    suffix_weights = (suffix_scores - highest.transpose(0, 1)[..., None]).exp()
    total = prefix_weights.sum(dim=-1).transpose(0, 1) + suffix_weights.sum(dim=-1)
    output = _read_prefix(prefix_weights.to(query.dtype), prefix_values)
    output = output + _read_suffix(suffix_weights, suffix_values)
    return (output / total[..., None]).to(query.dtype)


def _capped(scores: Tensor, softcap: float | None) -> Tensor:
    return scores if softcap is None else softcap * torch.tanh(scores / softcap)


def _score_prefix(query: Tensor, keys: Tensor, rotation: tuple[Tensor, Tensor] | None) -> Tensor:
    """Prefix scores, float32 [H_kv, B, G, T, O, P], by one matmul for all rows."""
    moved = query.transpose(0, 1)[..., None, :]
    if rotation is not None:
        cos, sin = (t[:, None, None] for t in rotation)
        moved = rotate(moved, cos, sin)
    rows = moved.reshape(moved.shape[0], -1, moved.shape[-1])
    scores = rows @ keys.transpose(-1, -2)
    return scores.view(*moved.shape[:-1], -1).float()


def _score_suffix(query: Tensor, keys: Tensor) -> Tensor:
    """Suffix scores, float32 [B, H_kv, G, T, L]."""
    if _by_sums(query):
        return (query.float() * keys[:, :, None].float()).sum(dim=-1)[..., None, :]
    rows = query.flatten(2, 3) @ keys.transpose(-1, -2)
    scores: Tensor = rows.unflatten(2, query.shape[2:4])
    return scores.float()


def _read_prefix(weights: Tensor, values: Tensor) -> Tensor:
    """Prefix values by weight: weights [H_kv, B, G, T, P] -> [B, H_kv, G, T, D_v]."""
    kv_heads, *rows, length = weights.shape
    read = weights.reshape(kv_heads, -1, length) @ values
    return read.view(kv_heads, *rows, -1).transpose(0, 1)


def _read_suffix(weights: Tensor, values: Tensor) -> Tensor:
    """Suffix values by weight: weights [B, H_kv, G, T, L] -> [B, H_kv, G, T, D_v]."""
    if _by_sums(weights):
        read = weights.transpose(-1, -2) * values[:, :, None].float()
        return read.sum(dim=-2)[..., None, :]
    read = weights.to(values.dtype).flatten(2, 3) @ values
    output: Tensor = read.unflatten(2, weights.shape[2:4])
    return output


def _by_sums(query: Tensor) -> bool:
    """Whether to multiply and sum instead of a matmul: one query a row, compiled, on a CPU.

    There a batch of matrix products of three rows each took 2 to 4 times as long. Eager code would
    write all products to memory.
    """
    return query.shape[3] == 1 and query.device.type == "cpu" and torch.compiler.is_compiling()
