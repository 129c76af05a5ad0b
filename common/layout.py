"""Prompt layouts: the token ids of a sample's prompts -> one packed prompt.

Integers in, integers out. This is the definition; the engine plans which parts of a packed prompt
are computed once for several sequences.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from common.run import Layout, Positions

TokenIds = tuple[int, ...]


@dataclass(frozen=True)
class PromptTokens:
    """Token ids of one sample, each field tokenized by itself.

    bos: the tokens that the tokenizer puts before a text, such as a BOS; no other field has them.
    prefix: instruction and few-shot examples. segments: `Q: p\\n` for each paraphrase.
    cue: `A:`. prompts: the whole plain prompt of each paraphrase.
    """

    bos: TokenIds
    prefix: TokenIds
    segments: tuple[TokenIds, ...]
    cue: TokenIds
    prompts: tuple[TokenIds, ...]


@dataclass(frozen=True)
class PackedPrompt:
    """One prompt: the tokens of each group, and the position of each group's first token.

    Group 0 is the shared prefix, groups 1..N are the segments, group N+1 is the fused tail, which
    generation continues. Positions inside a group count up from its start.

        >>> p = PackedPrompt(groups=((7,), (1, 2), (3,), (9,)), starts=(0, 1, 1, 3))
        >>> p.tokens, p.positions, p.group_ids
        ((7, 1, 2, 3, 9), (0, 1, 2, 1, 3), (0, 1, 1, 2, 3))
    """

    groups: tuple[TokenIds, ...]
    starts: tuple[int, ...]

    @property
    def num_segments(self) -> int:
        return len(self.groups) - 2

    @property
    def tokens(self) -> TokenIds:
        return tuple(token for group in self.groups for token in group)

    @property
    def positions(self) -> tuple[int, ...]:
        pairs = zip(self.groups, self.starts, strict=True)
        return tuple(start + offset for group, start in pairs for offset in range(len(group)))

    @property
    def group_ids(self) -> tuple[int, ...]:
        return tuple(g for g, group in enumerate(self.groups) for _ in group)

    @property
    def next_position(self) -> int:
        """Position of the first generated token."""
        return self.starts[-1] + len(self.groups[-1])


def pack_plain(tokens: PromptTokens, paraphrase: int) -> PackedPrompt:
    """Pack the plain prompt of one paraphrase, for a sequence that sees this paraphrase alone."""
    return pack_concat(tokens.bos, [tokens.prompts[paraphrase]], "sequential")


def pack_fused(tokens: PromptTokens, layout: Layout, positions: Positions) -> PackedPrompt:
    """Pack the prompt of a sequence that sees all paraphrases, even if there is only one."""
    if len(tokens.prompts) == 1:
        return pack_plain(tokens, 0)
    if layout == "concat":
        return pack_concat(tokens.bos, tokens.prompts, positions)
    return place([tokens.bos + tokens.prefix, *tokens.segments, tokens.cue], positions)


def pack_concat(bos: TokenIds, prompts: Sequence[TokenIds], positions: Positions) -> PackedPrompt:
    """Pack whole prompts back to back; the last token of the last prompt is the fused tail.

    >>> p = pack_concat((7,), [(1, 2), (1, 3, 2)], "sequential")
    >>> p.groups, p.starts
    (((7,), (1, 2), (1, 3), (2,)), (0, 1, 3, 5))
    >>> pack_concat((7,), [(1, 2), (1, 3, 2)], "aligned").starts
    (0, 1, 1, 3)
    """
    *whole, last = prompts
    return place([bos, *whole, last[:-1], last[-1:]], positions)


def place(groups: Sequence[TokenIds], positions: Positions) -> PackedPrompt:
    """Pack groups of tokens, and give each group its start position.

    "sequential" counts through all groups. "aligned" starts every segment right after the prefix,
    and the tail after the longest segment.
    """
    prefix, *segments, _ = lengths = [len(group) for group in groups]
    if positions == "sequential":
        starts = [sum(lengths[:g]) for g in range(len(groups))]
    else:
        starts = [0, *(prefix for _ in segments), prefix + max(segments)]
    return PackedPrompt(tuple(groups), tuple(starts))
