"""Plans: a packed prompt -> segments to prefill and the sequence that decodes after them.

A segment's keys and values depend on its tokens, on where it starts and on what it sees, and
on nothing else. So segments are values: two prompts that need the same one share it, be it
another paraphrase's prefix, another method's prompt, or the next copy of a repeated prompt.

A segment that sees nothing can be moved: its keys are only rotated (RoPE), its values stay.
Such a segment is computed at position 0 and *viewed* with a shift. One that sees a BOS lies at
a distance from it, so moving would not be exact; it is computed where it stands.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from common.layout import PackedPrompt, TokenIds
from common.visibility import Table


@dataclass(frozen=True)
class Segment:
    """A run of tokens that all see the same earlier segments whole, and each other causally.

    start: position of the first token. sees: the earlier segments, in their order. biases: what
    is added to the scores with the keys of each of those; () for nothing.
    """

    tokens: TokenIds
    start: int
    sees: tuple["Segment", ...] = ()
    biases: tuple[float, ...] = ()

    @cached_property
    def _hash(self) -> int:
        return hash((self.tokens, self.start, self.sees, self.biases))

    def __hash__(self) -> int:
        # Kept, because a segment is looked up many times and holds those it sees.
        return self._hash


@dataclass(frozen=True)
class SegmentRef:
    """A segment as a sequence sees it: computed where it is, read `offset` positions later.

    bias: what is added to the scores with its keys.
    """

    segment: Segment
    offset: int
    bias: float = 0.0


@dataclass(frozen=True)
class SequencePlan:
    """One sequence to decode: what it sees, and its last prompt token, fed first.

    position: of that token. Its key is the sequence's first own one.
    """

    views: tuple[SegmentRef, ...]
    token: int
    position: int


@dataclass(frozen=True)
class PrefixSplitter:
    """Where segments are cut so that equal ones meet.

    cuts: token runs that begin many prompts (BOS, instruction and few-shot examples). A run
    of tokens that begins with one is cut after it. movable: whether this model's keys may be
    rotated to another position.
    """

    cuts: tuple[TokenIds, ...]
    movable: bool

    def views(self, tokens: TokenIds, start: int, sees: Sequence[SegmentRef]) -> list[SegmentRef]:
        """Views of `tokens` placed at `start` and seeing `sees`; cut at every known run."""
        found: list[SegmentRef] = []
        for cut in self.cuts:
            if cut and len(cut) < len(tokens) and tokens[: len(cut)] == cut:
                found.append(self._view(cut, start, [*sees, *found]))
                tokens, start = tokens[len(cut) :], start + len(cut)
        return [*found, self._view(tokens, start, [*sees, *found])] if tokens else found

    def _view(self, tokens: TokenIds, start: int, sees: Sequence[SegmentRef]) -> SegmentRef:
        shifts = {view.offset for view in sees}
        if self.movable and not sees:
            return SegmentRef(Segment(tokens, 0), start)
        if len(shifts) == 1:
            (shift,) = shifts
            return SegmentRef(Segment(tokens, start - shift, *deduplicate(sees)), shift)
        return SegmentRef(
            Segment(tokens, start, *deduplicate([at_own_position(view) for view in sees])), 0
        )


def deduplicate(views: Sequence[SegmentRef]) -> tuple[tuple[Segment, ...], tuple[float, ...]]:
    """The segments of views and their biases; () for biases that are all 0.

    Equal paraphrases at equal positions are one segment. Seen n times it counts n times, which is
    log(n) added to its scores.

        >>> twice = SegmentRef(Segment((4, 5), 0), 0)
        >>> deduplicate([twice, twice]) == ((twice.segment,), (math.log(2),))
        True
    """
    copies: dict[Segment, float] = {}
    for view in views:
        copies[view.segment] = copies.get(view.segment, 0.0) + math.exp(view.bias)
    biases = tuple(math.log(number) for number in copies.values())
    return tuple(copies), biases if any(biases) else ()


def at_own_position(view: SegmentRef) -> SegmentRef:
    """The same keys computed where they are read, for a segment that sees several shifts."""
    sees = tuple(at_own_position(SegmentRef(s, view.offset)).segment for s in view.segment.sees)
    moved = replace(view.segment, start=view.segment.start + view.offset, sees=sees)
    return SegmentRef(moved, 0, view.bias)


def plan_sequence(
    prompt: PackedPrompt,
    visible: Table,
    splitter: PrefixSplitter,
    bias: Sequence[float] | None = None,
) -> SequencePlan:
    """The sequence that decodes after `prompt`, under the visibility table `visible` [G, G].

    bias: what the tail adds to its scores with the keys of each group, [G].
    """
    views: list[list[SegmentRef]] = []
    *groups, tail = prompt.groups
    for g, (tokens, start) in enumerate(zip(groups, prompt.starts, strict=False)):
        sees = [view for k in range(g) if visible[g, k] for view in views[k]]
        views.append(splitter.views(tokens, start, sees))
    seen = [
        view if bias is None else replace(view, bias=float(bias[g]))
        for g in range(len(groups))
        if visible[-1, g]
        for view in views[g]
    ]
    seen += splitter.views(tail[:-1], prompt.starts[-1], seen)
    return SequencePlan(tuple(seen), tail[-1], prompt.next_position - 1)


def distinct_segments(sequences: Sequence[SequencePlan]) -> list[Segment]:
    """Every segment the sequences need, once, each after those it sees."""
    ordered: dict[Segment, None] = {}

    def visit(segment: Segment) -> None:
        if segment not in ordered:
            for seen in segment.sees:
                visit(seen)
            ordered[segment] = None

    for sequence in sequences:
        for view in sequence.views:
            visit(view.segment)
    return list(ordered)
