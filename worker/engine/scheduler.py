"""The scheduler: which samples decode at once, which segments share a row, which rows a group.

Nothing else reads the budget.
"""

from collections.abc import Collection, Iterator, Sequence

from worker.engine.budget import Budget, split_by_budget
from worker.engine.ensembles import Ensemble, SamplePlan
from worker.engine.kv_cache import KVCache
from worker.engine.prefix_tree import Pack
from worker.engine.request import Request
from worker.engine.segments import Segment, SequencePlan
from worker.model.geometry import ModelGeometry

_LOGIT_COPIES = 6
"""Copies of a step's float32 logits that are in memory at once: the logits, log-probabilities,
and tempered probabilities while tokens are drawn."""


def logit_bytes(vocabulary: int) -> int:
    """Return the bytes that the logits of one sequence take in a step."""
    return _LOGIT_COPIES * 4 * vocabulary


class Scheduler:
    """Groups samples, segments and ensembles within a budget.

    element_size: bytes of one number of a key or value.
    """

    def __init__(self, geometry: ModelGeometry, element_size: int, budget: Budget) -> None:
        self.budget = budget
        self._slot_bytes = geometry.slot_numbers * element_size
        self._logit_bytes = logit_bytes(geometry.vocabulary)

    def batches(
        self, plans: Sequence[SamplePlan], prefix: KVCache, request: Request
    ) -> Iterator[list[SamplePlan]]:
        """Yield groups of neighbouring samples that are prefilled and decoded together."""
        return split_by_budget(
            plans,
            lambda plan: self._decode_bytes(plan.sequences, prefix, request),
            self.budget.cache_bytes,
        )

    def packs(self, plans: Sequence[SamplePlan], prefix: KVCache) -> Iterator[Pack]:
        """Yield packs of neighbouring samples' sequences, each computed in one row."""
        return packs_of(plans, prefix.slots, self.budget.pack_tokens)

    def buckets(
        self, plans: Sequence[SamplePlan], prefix: KVCache, request: Request
    ) -> Iterator[list[Ensemble]]:
        """Yield the distinct ensembles that decode in one bucket; mostly there is one bucket.

        A sample alone may be too large for one, as with many draws of many paraphrases.
        """
        ensembles = dict.fromkeys(ensemble for plan in plans for ensemble in plan.ensembles)
        return split_by_budget(
            list(ensembles),
            lambda ensemble: self._decode_bytes(ensemble.sequences, prefix, request),
            self.budget.cache_bytes,
        )

    def _decode_bytes(
        self, sequences: Sequence[SequencePlan], prefix: KVCache, request: Request
    ) -> int:
        """Bytes that decoding takes: the sequences' own keys and values, and their logits."""
        refs = (ref for s in sequences for ref in s.refs if ref.segment not in prefix.slots)
        own = sum(len(ref.segment.tokens) for ref in refs)
        row = self._slot_bytes * request.max_new_tokens + self._logit_bytes
        return int(self._slot_bytes * own + row * len(sequences))


def packs_of(plans: Sequence[SamplePlan], known: Collection[Segment], most: int) -> Iterator[Pack]:
    """Yield packs of neighbouring samples' sequences, of at most `most` new tokens each.

    known: segments that are computed already. A sample that takes more than a pack has tokens is
    a pack of its own.
    """
    pack = Pack(known)
    for plan in plans:
        if not pack.add(plan.sequences, most):
            yield pack
            pack = Pack(known)
            pack.add(plan.sequences)
    if pack.sequences:
        yield pack
