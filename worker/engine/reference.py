"""The specification: slow, obvious, dense.

One sample at a time, one stream at a time, the whole packed prompt recomputed for every token,
the mask written out by a double loop over the definition, transformers' own eager attention.
No cache, no packing of samples, no shared segments, no kernels of ours. Every fast path is
tested against this file in float32; where they differ, the fast path is wrong.
"""

import torch
from torch import Tensor
from transformers import PreTrainedModel

from common.layout import PackedPrompt, Pieces, pack_fused, pack_plain
from common.methods import Method
from common.run import Layout, Positions
from common.visibility import generate_isolated_visibility
from worker.engine.decode import FINISH_REASONS, LENGTH, RUNNING, Generated
from worker.engine.fusion import FUSIONS


def reference_prompts(
    pieces: Pieces, method: Method, layout: Layout, positions: Positions
) -> list[list[PackedPrompt]]:
    """The packed prompts of each answer: one list per answer, one prompt per stream."""
    plain = [pack_plain(pieces, i) for i in range(len(pieces.prompts))]
    if method.streams == "first":
        return [plain[:1]]
    if method.streams == "fused":
        return [[pack_fused(pieces, layout, positions)]]
    return [[prompt] for prompt in plain] if method.fusion == "own" else [plain]


@torch.inference_mode()
def reference_logits(model: PreTrainedModel, prompt: PackedPrompt, generated: list[int]) -> Tensor:
    """Logits of the next token, float32 [V], after `prompt` and what was generated."""
    tail = len(prompt.groups) - 1
    groups = [*prompt.group_ids, *[tail] * len(generated)]
    first = prompt.next_position
    positions = [*prompt.positions, *range(first, first + len(generated))]
    visible = generate_isolated_visibility(prompt.num_segments)
    mask = torch.full((1, 1, len(groups), len(groups)), torch.finfo(model.dtype).min)
    for q in range(len(groups)):
        for k in range(q + 1):
            if visible[groups[q], groups[k]]:
                mask[0, 0, q, k] = 0.0
    model.set_attn_implementation("eager")
    output = model(
        input_ids=torch.tensor([[*prompt.tokens, *generated]]),
        position_ids=torch.tensor([positions]),
        attention_mask=mask.to(model.dtype),
        use_cache=False,
    )
    logits: Tensor = output.logits[0, -1].float()
    return logits


def reference_decode(
    model: PreTrainedModel,
    prompts: list[PackedPrompt],
    method: Method,
    stops: Tensor,
    max_new_tokens: int,
) -> Generated:
    """Greedy decoding of streams that pick each token together."""
    tokens: list[int] = []
    total, state = 0.0, RUNNING
    while state == RUNNING:
        logits = torch.stack([reference_logits(model, p, tokens) for p in prompts])
        scores = FUSIONS["own" if len(prompts) == 1 else method.fusion](logits[None])[0]
        tokens.append(int(scores.argmax()))
        total += float(scores[tokens[-1]])
        state = int(stops[tokens[-1]])
        if state == RUNNING and len(tokens) == max_new_tokens:
            state = LENGTH
    return Generated(tuple(tokens), total, FINISH_REASONS[state])
