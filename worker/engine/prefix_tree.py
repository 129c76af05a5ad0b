"""The prefix tree: common beginnings of the segments of one pack are computed once.

Paraphrases of a question, and questions of a data set, begin with the same few words. Segments
that start at one position and see the same segments form a tree by their tokens (a radix tree, as
in SGLang's RadixAttention, Zheng et al. 2024). Cut where the tree branches, their common prefixes
become equal segments. The cut sequences see the same tokens, because each piece of a segment sees
the pieces before it.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from common.layout import TokenIds
from worker.engine.sample import SamplePlan
from worker.engine.segments import Segment, SegmentRef, SequencePlan, deduplicate


@dataclass(slots=True)
class _Node:
    children: dict[int, "_Node"] = field(default_factory=dict)
    ends: bool = False


class PrefixTree:
    """Segments of some sequences, arranged by their tokens.

    known: segments that have been computed already and are left out. size: tokens to compute if
    each common prefix is computed once.
    """

    def __init__(self, known: Collection[Segment]) -> None:
        self.size = 0
        self._known = known
        self._added: set[Segment] = set()
        self._roots: dict[object, _Node] = {}

    def add(self, sequences: Iterable[SequencePlan]) -> None:
        for sequence in sequences:
            for ref in sequence.refs:
                self._add(ref.segment)

    def _add(self, segment: Segment) -> None:
        if segment in self._known or segment in self._added:
            return
        self._added.add(segment)
        for seen in segment.sees:
            self._add(seen)
        node = self._root(segment)
        for token in segment.tokens:
            if token not in node.children:
                node.children[token] = _Node()
                self.size += 1
            node = node.children[token]
        node.ends = True

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


def split_shared_prefixes(
    sequences: Sequence[SequencePlan], known: Collection[Segment]
) -> dict[SequencePlan, SequencePlan]:
    """Map each sequence to a copy whose segments are cut after their common prefixes."""
    tree = PrefixTree(known)
    tree.add(sequences)
    pieces: dict[Segment, tuple[Segment, ...]] = {segment: (segment,) for segment in known}

    def cut(segment: Segment) -> tuple[Segment, ...]:
        if segment not in pieces:
            biases = segment.biases or (0.0,) * len(segment.sees)
            pairs = zip(segment.sees, biases, strict=True)
            sees = [SegmentRef(piece, 0, bias) for seen, bias in pairs for piece in cut(seen)]
            pieces[segment] = tuple(_chain(tree.runs(segment), segment.start, sees))
        return pieces[segment]

    return {
        sequence: replace(
            sequence,
            refs=tuple(
                replace(ref, segment=piece) for ref in sequence.refs for piece in cut(ref.segment)
            ),
        )
        for sequence in sequences
    }


def _chain(runs: Iterable[TokenIds], start: int, sees: list[SegmentRef]) -> Iterator[Segment]:
    """Yield one segment for each run of tokens; each sees `sees` and the runs before it."""
    for run in runs:
        segment = Segment(run, start, *deduplicate(sees))
        yield segment
        start += len(run)
        sees = [*sees, SegmentRef(segment, 0)]


def packs_of(
    plans: Sequence[SamplePlan], known: Collection[Segment], budget: int
) -> Iterator[list[SamplePlan]]:
    """Yield packs of neighbouring plans with at most `budget` new tokens in total.

    A plan that takes more is a pack of its own.
    """
    pack: list[SamplePlan] = []
    tree = PrefixTree(known)
    for plan in plans:
        tree.add(plan.sequences)
        if pack and tree.size > budget:
            yield pack
            pack, tree = [], PrefixTree(known)
            tree.add(plan.sequences)
        pack.append(plan)
    if pack:
        yield pack
