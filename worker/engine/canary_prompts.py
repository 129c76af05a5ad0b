"""Invented prompts for the canary: token ids drawn from the model's vocabulary, by a seed."""

from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedModel

from common.layout import PackedPrompt, PromptTokens, TokenIds, pack_fused, pack_plain
from common.methods import METHODS, Method
from worker.engine.reference import PLAIN
from worker.model.geometry import ModelGeometry

NEW_TOKENS = 3

_PLAIN_LENGTHS = (11, 3, 7)
_PREFIX, _SEGMENTS, _CUE = 4, (3, 1, 5), 2
_FAR_LENGTH = 9


@dataclass(frozen=True)
class Case:
    """A prompt to be answered, and how it is called where the answer is wrong.

    method: decides who sees whom in a packed prompt. shared: tokens that it repeats, which the
    engine computes once.
    """

    name: str
    prompt: PackedPrompt
    method: Method = PLAIN
    shared: TokenIds = ()

    @property
    def is_plain(self) -> bool:
        return self.method is PLAIN


def invent_cases(model: PreTrainedModel, sizes: ModelGeometry, least_tokens: int) -> list[Case]:
    """Unrelated prompts, a `flex_attention` prompt, and one at the last positions.

    least_tokens: that all of them have together; there are as many unrelated ones as it takes.
    Those that the model has no positions for are left out.
    """
    ids = _ordinary_ids(model, min(sizes.num_ids, sizes.vocabulary))
    generator = torch.Generator().manual_seed(0)

    def draw(length: int) -> TokenIds:
        return tuple(ids[torch.randint(len(ids), (length,), generator=generator)].tolist())

    rounds = 1 + least_tokens // sum(_PLAIN_LENGTHS)
    plain = [_plain("unrelated prompts in one row", draw(n)) for n in _PLAIN_LENGTHS * rounds]
    end = sizes.positions - NEW_TOKENS
    far = _plain("a prompt at the last positions", draw(_FAR_LENGTH), end)
    prefix, cue = draw(_PREFIX), draw(_CUE)
    fused = _fused(prefix, [draw(length) for length in _SEGMENTS], cue)
    return [
        case
        for case in (*plain, fused, far)
        if case.prompt.starts[0] >= 0
        and not sizes.length_fault(case.prompt.next_position - 1, NEW_TOKENS)
    ]


def _plain(name: str, tokens: TokenIds, end: int | None = None) -> Case:
    """A prompt as it is; `end`: the position after its last one, if it does not begin at 0."""
    prompt = pack_plain(PromptTokens((), (), (), (), (tokens,)), 0)
    offset = 0 if end is None else end - prompt.next_position
    return Case(name, PackedPrompt(prompt.groups, tuple(s + offset for s in prompt.starts)))


def _fused(prefix: TokenIds, segments: list[TokenIds], cue: TokenIds) -> Case:
    prompts = tuple(prefix + segment + cue for segment in segments)
    pieces = PromptTokens((), prefix, tuple(segments), cue, prompts)
    prompt = pack_fused(pieces, "concat", "sequential")
    return Case("a flex_attention prompt", prompt, METHODS["flex_attention"], prefix)


def _ordinary_ids(model: PreTrainedModel, number: int) -> torch.Tensor:
    """Ids that the config does not set apart, such as those that stand for images."""
    apart = set(_named_ids(model.config.to_dict()))
    ids = torch.tensor([i for i in range(number) if i not in apart])
    return ids if len(ids) else torch.arange(number)


def _named_ids(config: dict[Any, Any]) -> list[int]:
    found: list[int] = []
    for name, value in config.items():
        if isinstance(value, dict):
            found += _named_ids(value)
        elif str(name).endswith(("token_id", "token_ids", "token_index")):
            each = value if isinstance(value, (list, tuple)) else [value]
            found += [v for v in each if isinstance(v, int)]
    return found
