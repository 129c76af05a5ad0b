"""Prompt layouts: the pieces of a sample's prompt -> one packed prompt, literally.

Pure: integers in, integers out. This is the definition; what of it need not be computed
twice is `plan`'s business.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from common.run import Layout, Positions

TokenIds = tuple[int, ...]


@dataclass(frozen=True)
class PromptTokens:
    """Token ids of one sample, each piece tokenized apart.

    bos: the tokens that the tokenizer puts before a text, such as a BOS; they stand in no other
    piece. prefix: instruction and few-shot examples. segments: `Q: p\\n` for each
    paraphrase. cue: `A:`. prompts: for each paraphrase the whole plain prompt.
    """

    bos: TokenIds
    prefix: TokenIds
    segments: tuple[TokenIds, ...]
    cue: TokenIds
    prompts: tuple[TokenIds, ...]


@dataclass(frozen=True)
class PackedPrompt:
    """One prompt as runs of tokens, one for each group, and where each run starts.

    Group 0 is the shared prefix, groups 1..N are the segments, group N+1 is the fused tail:
    generation continues it. Tokens of a group are neighbours and count on from its start.

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
        """Where the first generated token goes."""
        return self.starts[-1] + len(self.groups[-1])


def pack_plain(pieces: PromptTokens, paraphrase: int) -> PackedPrompt:
    """The prompt of a sequence that sees one paraphrase: what a model is normally given."""
    return pack_concat(pieces.bos, [pieces.prompts[paraphrase]], "sequential")


def pack_fused(pieces: PromptTokens, layout: Layout, positions: Positions) -> PackedPrompt:
    """The prompt of a sequence that sees all paraphrases; the plain prompt where there is one."""
    if len(pieces.prompts) == 1:
        return pack_plain(pieces, 0)
    if layout == "concat":
        return pack_concat(pieces.bos, pieces.prompts, positions)
    return place([pieces.bos + pieces.prefix, *pieces.segments, pieces.cue], positions)


def pack_concat(bos: TokenIds, prompts: Sequence[TokenIds], positions: Positions) -> PackedPrompt:
    """Whole prompts back to back; the last token of the last one is the fused tail.

    >>> p = pack_concat((7,), [(1, 2), (1, 3, 2)], "sequential")
    >>> p.groups, p.starts
    (((7,), (1, 2), (1, 3), (2,)), (0, 1, 3, 5))
    >>> pack_concat((7,), [(1, 2), (1, 3, 2)], "aligned").starts
    (0, 1, 1, 3)
    """
    *whole, last = prompts
    return place([bos, *whole, last[:-1], last[-1:]], positions)


def place(groups: Sequence[TokenIds], positions: Positions) -> PackedPrompt:
    """Give each group its start.

    "sequential" counts through. "aligned" starts every segment right after the prefix and
    the tail after the longest segment.
    """
    prefix, *segments, _ = lengths = [len(group) for group in groups]
    if positions == "sequential":
        starts = [sum(lengths[:g]) for g in range(len(groups))]
    else:
        starts = [0, *(prefix for _ in segments), prefix + max(segments)]
    return PackedPrompt(tuple(groups), tuple(starts))
