"""Packing: the cut prompts of a sample -> one prompt of groups that see each other or do not."""

from collections.abc import Sequence
from dataclasses import dataclass

from common.errors import SampleError
from common.layout.cut import PromptTokens, TokenIds
from common.run import Layout, Positions


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
    """Pack the whole prompt of one paraphrase, for a sequence that sees this paraphrase alone.

    Raises SampleError for a prompt without a token.
    """
    return _pack_concat(tokens.bos, [tokens.prompts[paraphrase]], "sequential")


def pack_fused(tokens: PromptTokens, layout: Layout, positions: Positions) -> PackedPrompt:
    """Pack the prompt of a sequence that sees all paraphrases, even if there is only one.

    Raises SampleError if no token is left for the tail.
    """
    if len(tokens.segments) == 1:
        return pack_plain(tokens, 0)
    if layout == "concat":
        return _pack_concat(tokens.bos, tokens.prompts, positions)
    return _pack_shared(tokens, positions)


def _pack_shared(tokens: PromptTokens, positions: Positions) -> PackedPrompt:
    """Pack the prefix once, then the segments; the cue is the fused tail.

    Without a cue the last token of the last segment that has one is the tail, as in `concat`.

    >>> p = _pack_shared(PromptTokens((), (7,), ((1, 2), (3,)), (9,)), "aligned")
    >>> p.groups, p.starts
    (((7,), (1, 2), (3,), (9,)), (0, 1, 1, 3))
    >>> p = _pack_shared(PromptTokens((), (7,), ((1, 2), (3, 4)), ()), "aligned")
    >>> p.groups, p.starts
    (((7,), (1, 2), (3,), (4,)), (0, 1, 1, 3))
    """
    segments, tail = list(tokens.segments), tokens.cue
    if not tail:
        last = max((i for i, segment in enumerate(segments) if segment), default=0)
        segments[last], tail = segments[last][:-1], _last(segments[last])
    return _place([tokens.prefix, *segments, tail], positions)


def _pack_concat(bos: TokenIds, prompts: Sequence[TokenIds], positions: Positions) -> PackedPrompt:
    """Pack whole prompts back to back; the last token of the last prompt is the fused tail.

    The BOS stands once, in group 0. With `aligned` positions every prompt leaves its last token
    out, so that the tail stands where a plain prompt has it and no paraphrase ends before it: the
    others' closing `:` would be read as finished (80 of 200 answers were empty).

        >>> p = _pack_concat((7,), [(7, 1, 2), (7, 1, 3, 2)], "sequential")
        >>> p.groups, p.starts
        (((7,), (1, 2), (1, 3), (2,)), (0, 1, 3, 5))
        >>> p = _pack_concat((7,), [(7, 1, 2), (7, 1, 3, 2)], "aligned")
        >>> p.groups, p.starts
        (((7,), (1,), (1, 3), (2,)), (0, 1, 1, 3))
    """
    *others, last = (prompt[len(bos) :] for prompt in prompts)
    if positions == "aligned":
        others = [prompt[:-1] for prompt in others]
    return _place([bos, *others, last[:-1], _last(last)], positions)


def _last(tokens: TokenIds) -> TokenIds:
    if not tokens:
        raise SampleError(
            "the tokenizer makes no token of its paraphrases, and none stands behind them, so "
            "there is nothing to go on from"
        )
    return tokens[-1:]


def _place(groups: Sequence[TokenIds], positions: Positions) -> PackedPrompt:
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
