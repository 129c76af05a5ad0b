"""The algorithm as first published, written as plainly as possible: the baseline to beat.

It answers one sample at a time, from the packed prompt of all paraphrases. For every token it
builds the mask again and computes the whole sequence again, with the logits of all positions. It
has no cache and compiles nothing. "block" is FlexAttention with a block mask, as published;
"dense" is SDPA with a dense mask, which is faster on a CPU.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention
from transformers import AttentionInterface, PreTrainedModel

from common.layout import PackedPrompt
from common.visibility import generate_isolated_visibility

Groups = list[int]
"""Group of every token."""

_FLEX = "benchmark_flex"


@torch.inference_mode()
def published_decode(
    model: PreTrainedModel, prompt: PackedPrompt, max_new_tokens: int, kind: str = "block"
) -> tuple[int, ...]:
    """Greedy tokens after a packed prompt; no token ends the answer."""
    attention = ATTENTIONS[kind]
    AttentionInterface.register(_FLEX, published_attention)
    # It is not compiled on purpose.
    warnings.filterwarnings("ignore", message="flex_attention called without torch.compile")
    model.set_attn_implementation(attention.name)
    tokens, groups, positions = list(prompt.tokens), list(prompt.group_ids), list(prompt.positions)
    for _ in range(max_new_tokens):
        output = model(
            input_ids=torch.tensor([tokens], device=model.device),
            position_ids=torch.tensor([positions], device=model.device),
            attention_mask=attention.mask(groups, prompt.num_segments, model.device),
            use_cache=False,
        )
        tokens.append(int(output.logits[0, -1].argmax()))
        groups.append(groups[-1])
        positions.append(positions[-1] + 1)
    return tuple(tokens[len(prompt.tokens) :])


def block_mask(groups: Groups, num_segments: int, device: torch.device) -> BlockMask:
    """Block mask: a token sees earlier tokens of its own paraphrase and of the shared groups."""
    visible = torch.from_numpy(generate_isolated_visibility(num_segments)).to(device)
    group = torch.tensor(groups, device=device)

    def mask_mod(batch: Tensor, head: Tensor, q: Tensor, k: Tensor) -> Tensor:
        return (q >= k) & visible[group[q], group[k]]

    return create_block_mask(mask_mod, None, None, len(groups), len(groups), device=device.type)


def dense_mask(groups: Groups, num_segments: int, device: torch.device) -> Tensor:
    """Dense form of `block_mask`, bool [1, 1, T, T]."""
    visible = torch.from_numpy(generate_isolated_visibility(num_segments)).to(device)
    group = torch.tensor(groups, device=device)
    return visible[group[:, None], group[None, :]].tril()[None, None]


def published_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: BlockMask,
    *,
    scaling: float,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attention function that transformers calls in every layer; returns [1, T, H, D]."""
    output = flex_attention(
        query, key, value, block_mask=attention_mask, scale=scaling, enable_gqa=True
    )
    assert isinstance(output, Tensor)
    return output.transpose(1, 2).contiguous(), None


@dataclass(frozen=True)
class Attention:
    """A registered attention function, and the builder of its mask."""

    name: str
    mask: Callable[[Groups, int, torch.device], Any]


ATTENTIONS = {"block": Attention(_FLEX, block_mask), "dense": Attention("sdpa", dense_mask)}
