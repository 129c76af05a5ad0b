"""The prefix tree: common beginnings of the segments of one pack are computed once.

Paraphrases of a question, and questions of a data set, begin with the same few words. Segments
that start at one position and see the same segments form a tree by their tokens (a radix tree, as
in SGLang's RadixAttention, Zheng et al. 2024). Cut where the tree branches, their common prefixes
become equal segments, the pieces. Sequences see the same tokens, because each piece of a segment
sees the earlier pieces.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

from common.layout import TokenIds
from worker.engine.segments import Segment, SegmentRef, SequencePlan, deduplicate


@dataclass(slots=True)
class _Node:
    children: dict[int, "_Node"] = field(default_factory=dict)
    ends: bool = False


@dataclass(slots=True)
class _Addition:
    """Changes of the tree by the sequences that were added last."""

    segments: list[Segment] = field(default_factory=list)
    nodes: list[tuple[_Node, int]] = field(default_factory=list)
    ends: list[_Node] = field(default_factory=list)


class PrefixTree:
    """Segments of some sequences, arranged by their tokens.

    known: segments that have been computed already and are left out. size: tokens to compute if
    each common prefix is computed once.
    """

    def __init__(self, known: Collection[Segment]) -> None:
        self.size = 0
        self._known = known
        self._added: dict[Segment, None] = {}
        self._roots: dict[object, _Node] = {}
        self._last = _Addition()

    def add(self, segments: Iterable[Segment]) -> None:
        """Add segments, and all that they see."""
        self._last = _Addition()
        for segment in segments:
            self._add(segment)

    def undo(self) -> None:
        """Take back what the last call of `add` added."""
        for segment in self._last.segments:
            del self._added[segment]
        for node, token in reversed(self._last.nodes):
            del node.children[token]
        for node in self._last.ends:
            node.ends = False
        self.size -= len(self._last.nodes)
        self._last = _Addition()

    def _add(self, segment: Segment) -> None:
        if segment in self._known or segment in self._added:
            return
        for seen in segment.sees:
            self._add(seen)
        self._added[segment] = None
        self._last.segments.append(segment)
        node = self._root(segment)
        for token in segment.tokens:
            if token not in node.children:
                node.children[token] = _Node()
                self._last.nodes.append((node, token))
                self.size += 1
            node = node.children[token]
        if not node.ends:
            node.ends = True
            self._last.ends.append(node)

    def pieces(self) -> dict[Segment, tuple[Segment, ...]]:
        """Return the pieces of every added segment, in an order in which they can be computed."""
        pieces: dict[Segment, tuple[Segment, ...]] = {}
        for segment in self._added:  # Each after those it sees.
            biases = segment.biases or (0.0,) * len(segment.sees)
            sees = [
                SegmentRef(piece, 0, bias)
                for seen, bias in zip(segment.sees, biases, strict=True)
                for piece in pieces.get(seen, (seen,))
            ]
            pieces[segment] = tuple(_chain(self.runs(segment), segment.start, sees))
        return pieces

    def runs(self, segment: Segment) -> Iterator[TokenIds]:
        """Yield the tokens of an added segment, cut where other segments branch off or end.

        With 4 5 6, 4 5 7 and 4 in the tree, 4 5 6 is cut into 4, 5 and 6.
        """
        node, first = self._root(segment), 0
        for i, token in enumerate(segment.tokens, start=1):
            node = node.children[token]
            if i == len(segment.tokens) or node.ends or len(node.children) > 1:
                yield segment.tokens[first:i]
                first = i

    def _root(self, segment: Segment) -> _Node:
        return self._roots.setdefault((segment.start, segment.sees, segment.biases), _Node())


def _chain(runs: Iterable[TokenIds], start: int, sees: list[SegmentRef]) -> Iterator[Segment]:
    """Yield one segment for each run of tokens; each sees `sees` and the earlier runs."""
    for run in runs:
        segment = Segment(run, start, *deduplicate(sees))
        yield segment
        start += len(run)
        sees = [*sees, SegmentRef(segment, 0)]


class Pack:
    """Sequences whose segments are computed in one row, and their prefix tree.

    known: segments that the prefix cache holds.
    """

    def __init__(self, known: Collection[Segment]) -> None:
        self.sequences: list[SequencePlan] = []
        self._tree = PrefixTree(known)

    @classmethod
    def of(cls, segments: Iterable[Segment], known: Collection[Segment] = ()) -> "Pack":
        """Make a pack of segments that no sequence decodes after."""
        pack = cls(known)
        pack.add([SequencePlan(tuple(SegmentRef(each, 0) for each in segments), 0, 0)])
        return pack

    @property
    def num_new_tokens(self) -> int:
        """Tokens that the row has."""
        return self._tree.size

    def add(self, sequences: Collection[SequencePlan], most: int | None = None) -> bool:
        """Add sequences and return True, unless the row would have more than `most` tokens.

        The first sequences are added whatever their size.
        """
        self._tree.add(ref.segment for sequence in sequences for ref in sequence.refs)
        if self.sequences and most is not None and self.num_new_tokens > most:
            self._tree.undo()
            return False
        self.sequences += sequences
        return True

    def pieces(self) -> dict[Segment, tuple[Segment, ...]]:
        """Return the pieces in which each new segment of the sequences is computed, in order."""
        return self._tree.pieces()
