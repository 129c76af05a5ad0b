"""Invented prompts for the canary: token ids drawn from the model's vocabulary, by a seed."""

from dataclasses import dataclass

import torch

from common.layout import PackedPrompt, PromptTokens, TokenIds, pack_fused, pack_plain
from common.methods import METHODS, Method
from worker.engine.reference import PLAIN
from worker.model.geometry import ModelGeometry

NEW_TOKENS = 3

_PLAIN_LENGTHS = (11, 3, 7)
_PREFIX, _SEGMENTS, _OTHER_SEGMENTS, _CUE = 4, (3, 1, 5), (2, 4, 3), 2
_LAST_LENGTH = 9


@dataclass(frozen=True)
class CanaryCase:
    """A prompt of the canary, and its name in the message if the answer is wrong.

    method: decides which segments of a packed prompt see each other. shared: tokens that the
    prompt repeats, which the engine computes once. is_far: its tokens reach past a window.
    """

    name: str
    prompt: PackedPrompt
    method: Method = PLAIN
    shared: TokenIds = ()
    is_far: bool = False

    @property
    def is_plain(self) -> bool:
        return self.method is PLAIN


def invent_cases(sizes: ModelGeometry, least_tokens: int) -> list[CanaryCase]:
    """Invent unrelated prompts, `flex_attention` prompts, and a prompt at the last positions.

    There are two `flex_attention` prompts, because a row that decodes alone runs uncompiled, and
    one for each window, whose tokens leave the window of others.

    least_tokens: the number of unrelated prompts is raised until their row has this many tokens.
    Prompts for which the model has no positions are left out.
    """
    ids = _ordinary_ids(sizes)
    generator = torch.Generator().manual_seed(0)

    def draw(length: int) -> TokenIds:
        return tuple(ids[torch.randint(len(ids), (length,), generator=generator)].tolist())

    # Decoding, not prefill, computes a prompt's last token; one round more for common beginnings.
    in_a_round = sum(length - 1 for length in _PLAIN_LENGTHS)
    rounds = 2 + least_tokens // in_a_round if least_tokens else 1
    plain = [_plain("unrelated prompts in one row", draw(n)) for n in _PLAIN_LENGTHS * rounds]
    end = sizes.positions - NEW_TOKENS
    last = _plain("a prompt at the last positions", draw(_LAST_LENGTH), end)
    prefix, cue = draw(_PREFIX), draw(_CUE)
    packed, other = (
        PromptTokens((), prefix, tuple(draw(length) for length in lengths), cue)
        for lengths in (_SEGMENTS, _OTHER_SEGMENTS)
    )
    beyond = [_beyond(packed, window) for window in sorted(set(filter(None, sizes.windows)))]
    return [
        case
        for case in (*plain, _fused(packed), _fused(other), *beyond, last)
        if case.prompt.starts[0] >= 0
        and not sizes.length_fault(case.prompt.next_position - 1, NEW_TOKENS)
    ]


def _plain(name: str, tokens: TokenIds, end: int | None = None) -> CanaryCase:
    """Make a plain prompt. end: the position after its last token; None to begin at 0."""
    prompt = pack_plain(PromptTokens((), (), (tokens,), ()), 0)
    offset = 0 if end is None else end - prompt.next_position
    packed = PackedPrompt(prompt.groups, tuple(s + offset for s in prompt.starts))
    return CanaryCase(name, packed, is_far=end is not None)


def _fused(tokens: PromptTokens) -> CanaryCase:
    prompt = pack_fused(tokens, "concat", "sequential")
    return CanaryCase("a flex_attention prompt", prompt, METHODS["flex_attention"], tokens.prefix)


def _beyond(tokens: PromptTokens, window: int) -> CanaryCase:
    """Return a prompt with a gap behind its prefix, so that few tokens reach over a window.

    The first token after the gap sees all of the prefix but its first token.
    """
    packed = pack_fused(tokens, "shared", "sequential")
    gap = max(0, window - len(tokens.prefix))
    starts = (packed.starts[0], *(start + gap for start in packed.starts[1:]))
    name, method = f"a prompt beyond a window of {window} tokens", METHODS["flex_attention"]
    return CanaryCase(name, PackedPrompt(packed.groups, starts), method, tokens.prefix, True)


def _ordinary_ids(sizes: ModelGeometry) -> torch.Tensor:
    """Return the ids that may be fed, less those with a role (end of text, images, ...)."""
    number = min(sizes.num_ids, sizes.vocabulary)
    ids = torch.tensor([i for i in range(number) if i not in sizes.role_ids])
    return ids if len(ids) else torch.arange(number)
