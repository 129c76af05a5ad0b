"""The cut: whole prompts of a sample -> common beginning, the part of each, common ending.

A tokenizer may melt the end of one piece of text with the beginning of the next (`\\n\\n` and `Q`
are other tokens than `\\n\\nQ`), so pieces are never tokenized apart. Whole prompts are tokenized,
and cut where they agree. Prefix + segment + cue is always the whole prompt.

Where they may agree is decided once for a run, by its frame: what the prompts of six probe texts
begin and end with. So the cut of a sample depends on no other sample, the prefix of every sample
is a beginning of one and the same head, and words that the paraphrases of one question happen to
share ("who wrote ...?") stay in its segments.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

TokenIds = tuple[int, ...]

PROBES = ("A", "b?", "7.", '"c"', "[MASK]", "é!")
"""Texts that begin and end unlike each other. Other probes would cut other prompts: they belong to
the semantics version."""


@dataclass(frozen=True)
class PromptFrame:
    """Beginning and ending that all prompts of a run share.

    bos: the tokens that the tokenizer puts before a text by itself, where the prompts begin with
    them; else (). head: begins with bos.
    """

    bos: TokenIds
    head: TokenIds
    tail: TokenIds


@dataclass(frozen=True)
class PromptTokens:
    """Token ids of one sample's prompts, cut.

    bos: as in PromptFrame; prefix begins with it. segments: one for each paraphrase; any may be
    empty, like prefix and cue.
    """

    bos: TokenIds
    prefix: TokenIds
    segments: tuple[TokenIds, ...]
    cue: TokenIds

    @functools.cached_property
    def prompts(self) -> tuple[TokenIds, ...]:
        """The whole prompt of each paraphrase."""
        return tuple(self.prefix + segment + self.cue for segment in self.segments)


def cut_frame(probes: Sequence[TokenIds], bos: TokenIds) -> PromptFrame:
    """Return the frame that prompts of some probe texts show.

    >>> cut_frame([(0, 5, 6, 1, 9), (0, 5, 6, 2, 9)], (0,))
    PromptFrame(bos=(0,), head=(0, 5, 6), tail=(9,))
    """
    head = _common(probes)
    return PromptFrame(bos if head[: len(bos)] == bos else (), head, _common_end(probes))


def cut_prompts(frame: PromptFrame, prompts: Sequence[TokenIds]) -> PromptTokens:
    """Cut the whole prompts of one sample.

    >>> frame = PromptFrame((0,), (0, 5, 6), (9,))
    >>> cut_prompts(frame, [(0, 5, 6, 1, 2, 9), (0, 5, 6, 1, 3, 9)])
    PromptTokens(bos=(0,), prefix=(0, 5, 6), segments=((1, 2), (1, 3)), cue=(9,))
    """
    prefix = _common([frame.head, *prompts])
    rests = [prompt[len(prefix) :] for prompt in prompts]
    cue = _common_end([frame.tail, *rests])
    segments = tuple(rest[: len(rest) - len(cue)] for rest in rests)
    return PromptTokens(
        frame.bos if prefix[: len(frame.bos)] == frame.bos else (), prefix, segments, cue
    )


def common_prefix(a: TokenIds, b: TokenIds) -> TokenIds:
    """Return the tokens with which both sequences begin.

    >>> common_prefix((1, 2, 3), (1, 2, 9, 3))
    (1, 2)
    """
    length = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), None)
    return a[: min(len(a), len(b)) if length is None else length]


def _common(sequences: Sequence[TokenIds]) -> TokenIds:
    return functools.reduce(common_prefix, sequences)


def _common_end(sequences: Sequence[TokenIds]) -> TokenIds:
    return _common([sequence[::-1] for sequence in sequences])[::-1]
