"""The algorithm as first published, as plainly as it can be written: the mark to beat.

One sample at a time; the packed prompt of all wordings; for every token the mask is built anew
and the whole sequence computed anew, logits of all positions included; no cache.
"""

import torch
from torch import Tensor
from transformers import PreTrainedModel

from common.layout import PackedPrompt
from common.visibility import generate_isolated_visibility


@torch.inference_mode()
def published_decode(
    model: PreTrainedModel, prompt: PackedPrompt, max_new_tokens: int
) -> tuple[int, ...]:
    """The tokens that follow a packed prompt; none of them ends the answer."""
    tokens, groups, positions = list(prompt.tokens), list(prompt.group_ids), list(prompt.positions)
    for _ in range(max_new_tokens):
        output = model(
            input_ids=torch.tensor([tokens], device=model.device),
            position_ids=torch.tensor([positions], device=model.device),
            attention_mask=published_mask(groups, prompt.num_segments).to(model.device),
            use_cache=False,
        )
        tokens.append(int(output.logits[0, -1].argmax()))
        groups.append(groups[-1])
        positions.append(positions[-1] + 1)
    return tuple(tokens[len(prompt.tokens) :])


def published_mask(groups: list[int], num_segments: int) -> Tensor:
    """Who sees whom, bool [1, 1, T, T]: of the past, its own wording and the shared ones."""
    visible = torch.from_numpy(generate_isolated_visibility(num_segments))
    group = torch.tensor(groups)
    return visible[group[:, None], group[None, :]].tril()[None, None]
