"""Segments: a packed prompt -> segments to prefill and the sequence that decodes afterwards.

The keys and values of a segment depend on its tokens, its start and the segments it sees, and on
nothing else. So segments are values, and prompts share equal segments: the prefix
of another paraphrase, the prompt of another method, the next copy of a repeated prompt.

A segment that sees nothing can be moved: its keys are rotated (RoPE), its values stay. It is
computed at position 0, and a SegmentRef reads it at an offset. A segment that sees a BOS cannot
be moved, because its distance to the BOS would change; it is computed at its own position.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from common.layout import PackedPrompt, TokenIds
from common.visibility import Table


@dataclass(frozen=True)
class Segment:
    """A run of tokens that see the same earlier segments in full, and each other causally.

    start: position of the first token. sees: the earlier segments, in order. biases: one number
    for each of them, added to the scores with its keys; () if all are 0.
    """

    tokens: TokenIds
    start: int
    sees: tuple["Segment", ...] = ()
    biases: tuple[float, ...] = ()

    @cached_property
    def _hash(self) -> int:
        return hash((self.tokens, self.start, self.sees, self.biases))

    def __hash__(self) -> int:
        # Computed once: a segment is looked up often, and its hash covers all that it sees.
        return self._hash


@dataclass(frozen=True)
class SegmentRef:
    """A segment whose keys a sequence reads `offset` positions behind their own.

    bias: added to the scores with its keys.
    """

    segment: Segment
    offset: int
    bias: float = 0.0


@dataclass(frozen=True)
class SequencePlan:
    """One sequence to decode: the segments it sees and its last prompt token.

    Decoding feeds `token` first, at `position`.
    """

    refs: tuple[SegmentRef, ...]
    token: int
    position: int


@dataclass(frozen=True)
class PrefixSplitter:
    """Cuts runs of tokens after known prefixes, so that equal prefixes become equal segments.

    cuts: token runs that many prompts begin with, in order (BOS, then instruction, few-shot
    examples and the words before the question). movable: whether this model's keys may be rotated
    to another position.
    """

    cuts: tuple[TokenIds, ...]
    movable: bool

    def refs(self, tokens: TokenIds, start: int, sees: Sequence[SegmentRef]) -> list[SegmentRef]:
        """Return refs to `tokens`, placed at `start` and seeing `sees`, cut at known prefixes."""
        refs: list[SegmentRef] = []
        for cut in self.cuts:
            if cut and len(cut) < len(tokens) and tokens[: len(cut)] == cut:
                refs.append(self._ref(cut, start, [*sees, *refs]))
                tokens, start = tokens[len(cut) :], start + len(cut)
        return [*refs, self._ref(tokens, start, [*sees, *refs])] if tokens else refs

    def _ref(self, tokens: TokenIds, start: int, sees: Sequence[SegmentRef]) -> SegmentRef:
        offsets = {ref.offset for ref in sees}
        if self.movable and not sees:
            return SegmentRef(Segment(tokens, 0), start)
        if len(offsets) == 1:
            (offset,) = offsets
            return SegmentRef(Segment(tokens, start - offset, *deduplicate(sees)), offset)
        return SegmentRef(
            Segment(tokens, start, *deduplicate([at_own_position(ref) for ref in sees])), 0
        )


def deduplicate(refs: Sequence[SegmentRef]) -> tuple[tuple[Segment, ...], tuple[float, ...]]:
    """Return the distinct segments of some refs and their biases, () if all biases are 0.

    Equal paraphrases at equal positions are one segment. A segment that is seen n times has
    log(n) added to its scores, so it counts n times.

        >>> twice = SegmentRef(Segment((4, 5), 0), 0)
        >>> deduplicate([twice, twice]) == ((twice.segment,), (math.log(2),))
        True
    """
    copies: dict[Segment, float] = {}
    for ref in refs:
        copies[ref.segment] = copies.get(ref.segment, 0.0) + math.exp(ref.bias)
    biases = tuple(math.log(number) for number in copies.values())
    return tuple(copies), biases if any(biases) else ()


def at_own_position(ref: SegmentRef) -> SegmentRef:
    """Return a ref to the same tokens computed at the position where they are read.

    A segment that sees refs of several offsets needs such refs.
    """
    sees = tuple(at_own_position(SegmentRef(s, ref.offset)).segment for s in ref.segment.sees)
    moved = replace(ref.segment, start=ref.segment.start + ref.offset, sees=sees)
    return SegmentRef(moved, 0, ref.bias)


def plan_sequence(
    prompt: PackedPrompt,
    visible: Table,
    splitter: PrefixSplitter,
    bias: Sequence[float] | None = None,
) -> SequencePlan:
    """Return the sequence that decodes after `prompt`.

    visible: the visibility table of its groups, bool [G, G]. bias: added to the scores of the
    tail with the keys of each group, [G].
    """
    refs: list[list[SegmentRef]] = []
    *groups, tail = prompt.groups
    for g, (tokens, start) in enumerate(zip(groups, prompt.starts, strict=False)):
        sees = [ref for k in range(g) if visible[g, k] for ref in refs[k]]
        refs.append(splitter.refs(tokens, start, sees))
    seen = [
        ref if bias is None else replace(ref, bias=float(bias[g]))
        for g in range(len(groups))
        if visible[-1, g]
        for ref in refs[g]
    ]
    seen += splitter.refs(tail[:-1], prompt.starts[-1], seen)
    return SequencePlan(tuple(seen), tail[-1], prompt.next_position - 1)
