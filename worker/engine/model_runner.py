"""The model runner: prefill of a pack and one decode step, the only two calls of the model."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from transformers import PreTrainedModel

from worker.engine.attention.backend import AttentionBackend
from worker.engine.attention.choose import short_form
from worker.engine.attention.mask_spec import segment_mask_spec
from worker.engine.compilation import DecodeOps, eager_if_single
from worker.engine.decode_bucket import DecodeBucket
from worker.engine.ensembles import Ensemble
from worker.engine.generated_tokens import GeneratedTokens
from worker.engine.kv_cache import KVCache
from worker.engine.prefix_tree import Pack
from worker.engine.row_group import RowGroup, similar_sequences
from worker.engine.sampler import Sampler
from worker.engine.segments import Segment, SequencePlan
from worker.model.attention_interface import AttentionContext, LayerCall
from worker.model.geometry import ModelGeometry
from worker.model.layer_calls import LayerCalls


class ModelRunner:
    """Runs a model whose attention is the engine's.

    backend: attention backend of prefill. ops: the operations of a decode step that can be
    compiled.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        geometry: ModelGeometry,
        backend: AttentionBackend,
        ops: DecodeOps,
    ) -> None:
        self.model = model
        self.geometry = geometry
        self.backend = backend
        self.ops = ops

    def empty_cache(self) -> KVCache:
        """Return a cache without slots."""
        return self._allocate({})

    def _allocate(self, slots: Mapping[Segment, range]) -> KVCache:
        return KVCache.allocate(self.geometry, slots, self.model.dtype, self.model.device)

    def prefill(self, pack: Pack, prefix: KVCache, backend_from: int | None = None) -> KVCache:
        """Compute the segments of a pack in one row; returns the keys and values of those alone.

        prefix: the cache of the segments that the pack leaves out. backend_from: a row of fewer
        tokens uses the short form instead of the backend; None for the backend's smallest pack.
        """
        pieces = pack.pieces()
        ordered = dict.fromkeys(piece for chain in pieces.values() for piece in chain)
        cache = self._allocate(_consecutive(ordered))
        if ordered:
            least = self.backend.min_pack if backend_from is None else backend_from
            short = short_form(self.geometry.softcap)
            self._fill(cache, prefix, self.backend if cache.num_slots >= least else short)
        return replace(cache, pieces=pieces)

    def synchronize(self) -> None:
        """Wait for a GPU, which still computes when its calls return."""
        if self.model.device.type == "cuda":
            torch.cuda.synchronize(self.model.device)

    def _fill(self, cache: KVCache, prefix: KVCache, backend: AttentionBackend) -> None:
        """Compute the keys and values of a cache's segments, behind those of the prefix."""
        tokens = [token for segment in cache.slots for token in segment.tokens]
        positions = [s.start + i for s in cache.slots for i in range(len(s.tokens))]
        device = str(self.model.device)
        masks = self._masks(cache, prefix, backend, max(positions))
        filling = _Filling(cache, prefix, backend, masks, self.geometry.softcap)
        calls = LayerCalls(filling.attend, self.geometry)
        with eager_if_single(len(tokens)):
            self.model.base_model(
                input_ids=torch.tensor([tokens], device=device),
                position_ids=torch.tensor([positions], device=device),
                use_cache=False,
                context=AttentionContext(calls.attend),
            )
        calls.check(self.model)

    def _masks(
        self, cache: KVCache, prefix: KVCache, backend: AttentionBackend, last: int
    ) -> list[object]:
        """Make the mask of each layer; layers of one window share theirs.

        last: the largest position of the row. A window that reaches back farther hides nothing.
        """
        device, behind = str(self.model.device), prefix.num_slots
        slots = {**prefix.slots, **_consecutive(cache.slots, behind)}
        windows = [None if w is None or w > last else w for w in self.geometry.windows]
        masks = {}
        for window in dict.fromkeys(windows):
            spec = segment_mask_spec(slots, behind, device, window)
            num_new = cache.num_slots
            masks[window] = backend.create_mask(spec, num_new, behind + num_new, device)
        return [masks[window] for window in windows]

    def load(
        self,
        ensembles: Sequence[Ensemble],
        caches: Mapping[SequencePlan, KVCache],
        prefix: KVCache,
        output: GeneratedTokens,
    ) -> DecodeBucket:
        """Make the bucket of some ensembles; sequences of similar shape share a row group.

        caches: of each sequence, the one that holds its segments outside the prefix.
        """
        sequences = list(dict.fromkeys(s for ensemble in ensembles for s in ensemble.sequences))
        groups = list(similar_sequences(sequences, prefix))
        attend, new_tokens = self.ops.attend, output.max_new_tokens
        row_groups = [
            RowGroup(self.model, self.geometry, group, caches, prefix, new_tokens, attend)
            for group in groups
        ]
        return DecodeBucket(row_groups, [s for group in groups for s in group], ensembles, output)

    def step(self, bucket: DecodeBucket) -> None:
        """Feed one token per row and write the next one of each ensemble.

        Changes the bucket and nothing else. Which rows run is decided by `DecodeBucket.compact`,
        so no line here asks the device for a value, except that a nucleus below 1 is searched
        until it is found.
        """
        logits = self.logits(bucket)
        sampler = Sampler(self.ops.pick_best)
        for batch in bucket.batches:
            forced = bucket.output.force(batch.ids)
            steps = bucket.output.lengths[batch.ids]
            bucket.write(batch, *sampler.pick(logits, batch, steps, forced))

    def logits(self, bucket: DecodeBucket) -> Tensor:
        """Feed one token per row; returns logits [B, V]."""
        calls = LayerCalls(bucket.attend, self.geometry)
        with eager_if_single(bucket.num_rows):
            output = self.model(
                input_ids=bucket.tokens[None],
                position_ids=bucket.positions[None],
                use_cache=False,
                context=AttentionContext(calls.attend),
            )
        calls.check(self.model)
        bucket.move_on()
        logits: Tensor = output.logits[0]
        return logits


def _consecutive(segments: Iterable[Segment], first: int = 0) -> dict[Segment, range]:
    """Give segments consecutive slots, from `first` on."""
    slots, end = {}, first
    for segment in segments:
        slots[segment] = range(end, end := end + len(segment.tokens))
    return slots


@dataclass(frozen=True)
class _Filling:
    """Fills a cache layer by layer; its tokens attend to the prefix and to each other.

    masks: of each layer.
    """

    cache: KVCache
    prefix: KVCache
    backend: AttentionBackend
    masks: Sequence[object]
    softcap: float | None

    def attend(self, call: LayerCall, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        self.cache.keys[call.layer] = key[0]
        self.cache.values[call.layer] = value[0]
        keys = torch.cat((self.prefix.keys[call.layer], key[0]), dim=1)
        values = torch.cat((self.prefix.values[call.layer], value[0]), dim=1)
        mask = self.masks[call.layer]
        return self.backend(query, keys[None], values[None], mask, call.scaling, self.softcap)
