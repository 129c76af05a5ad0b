"""The engine's front: samples and methods in, answers out.

One call prefills what all its methods need once, decodes all their sequences in one loop, and
hands each method its answers.
"""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from common.records import Sample
from worker.engine.attention import AttentionBackend, install_attention
from worker.engine.decode import Batch, Generation, Results, decode, start_batch
from worker.engine.decode_ops import EAGER, DecodeOps
from worker.engine.ensembles import Ensemble
from worker.engine.kv_cache import Placed, prefill
from worker.engine.numbers import refuse_no_numbers
from worker.engine.packing import split_by_budget
from worker.engine.plan import SequencePlan, distinct_segments
from worker.engine.planning import plan_samples
from worker.engine.prefix_cache import PrefixCache
from worker.engine.prefix_tree import packs_of, split_shared_prefixes
from worker.engine.request import Counts, Request, as_sample
from worker.engine.sample import Answers, SamplePlan, collect
from worker.model.geometry import dtype_name, geometry_of
from worker.model.tokenizer import PromptTokenizer

logger = logging.getLogger(__name__)

_LOGIT_COPIES = 6
"""How many times the float32 logits of a step are held at once: as they are, as log-
probabilities, and as tempered probabilities while something is drawn from them."""


class Engine:
    """A model that answers samples in several paraphrases.

    backend: of prefill. pack_tokens: tokens in one prefill row. cache_bytes: keys and values
    decoded at once. ops: what decoding spends its time in, eager or compiled.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        backend: AttentionBackend,
        pack_tokens: int = 4096,
        cache_bytes: int = 2 << 30,
        ops: DecodeOps = EAGER,
    ) -> None:
        install_attention(model)
        self.geometry = geometry_of(model)
        self.model = model.eval()
        self.tokenizer = PromptTokenizer(tokenizer)
        self.backend = backend
        self.pack_tokens = pack_tokens
        self.cache_bytes = cache_bytes
        self.ops = ops
        self._prefix_cache = PrefixCache(model, self.tokenizer)
        self._prefix = self._prefix_cache.none
        vocabulary = self.geometry.vocabulary
        eos_ids = _eos_ids(model, tokenizer, vocabulary)
        self._stops = self.tokenizer.stops(vocabulary, eos_ids).to(model.device)

    @torch.inference_mode()
    def answer(
        self,
        samples: Sequence[Sample | Sequence[str]],
        request: Request,
        counts: Counts | None = None,
    ) -> list[Answers]:
        """For each sample its answers by method name.

        Where a method cannot answer a sample there is a SampleError in place of its answers.
        Raises StopRun where the logits of no sample of several are numbers.
        """
        counts = counts or Counts()
        self._prefix = self._prefix_cache.of(request, self.backend)
        known = [as_sample(sample) for sample in samples]
        plans = plan_samples(
            known,
            request,
            self.tokenizer,
            self._prefix.splitter,
            self.geometry.length_fault,
            self.geometry.num_ids,
        )
        batches = self._batches(plans, request)
        answers = [a for batch in batches for a in self._answer_batch(batch, request, counts)]
        return refuse_no_numbers(answers, dtype_name(self.model))

    @property
    def movable(self) -> bool:
        """Whether keys may be rotated to another position."""
        return self._prefix_cache.none.splitter.movable

    def text(self, generated: Generation) -> str:
        """The decoded text of an answer."""
        return self.tokenizer.text(generated.tokens)

    def _batches(
        self, plans: Sequence[SamplePlan], request: Request
    ) -> Iterator[list[SamplePlan]]:
        """Neighbouring samples that are decoded together."""
        yield from split_by_budget(
            plans, lambda plan: self._decode_bytes(plan.sequences, request), self.cache_bytes
        )

    def _decode_bytes(self, sequences: Sequence[SequencePlan], request: Request) -> int:
        """Memory that decoding takes: keys and values of the sequences' own, and their logits."""
        cached = self._prefix.done
        slot = self.geometry.slot_numbers * cached.keys.element_size()
        views = (view for s in sequences for view in s.views if view.segment not in cached.slots)
        own = sum(len(view.segment.tokens) for view in views)
        logits = _LOGIT_COPIES * 4 * self.geometry.vocabulary
        return int(slot * own + (slot * request.max_new_tokens + logits) * len(sequences))

    def _answer_batch(
        self, plans: Sequence[SamplePlan], request: Request, counts: Counts
    ) -> list[Answers]:
        placed = self._prefill(plans, counts)
        ensembles = [ensemble for plan in plans for ensemble in plan.ensembles]
        # In parts where one sample alone is too large, as with many draws of many paraphrases.
        parts = split_by_budget(
            ensembles, lambda e: self._decode_bytes(e.sequences, request), self.cache_bytes
        )
        generated = (g for part in parts for g in self._decode(part, placed, request, counts))
        return [collect(plan, generated) for plan in plans]

    def _prefill(self, plans: Sequence[SamplePlan], counts: Counts) -> dict[SequencePlan, Placed]:
        """Prefill in packs; returns each sequence with where its keys lie."""
        cached = self._prefix.done
        started = time.perf_counter()
        placed: dict[SequencePlan, Placed] = {}
        for pack in packs_of(plans, cached.slots, self.pack_tokens):
            cut = split_shared_prefixes([s for plan in pack for s in plan.sequences], cached.slots)
            done = prefill(self.model, self.backend, distinct_segments(list(cut.values())), cached)
            counts.prefill_tokens += done.num_slots - cached.num_slots
            placed |= {planned: Placed(sequence, done) for planned, sequence in cut.items()}
        if self.model.device.type == "cuda":
            # A GPU is still computing when its calls return: these seconds would be decoding's.
            torch.cuda.synchronize(self.model.device)
        counts.prefill_seconds += time.perf_counter() - started
        return placed

    def _decode(
        self,
        ensembles: Sequence[Ensemble],
        placed: Mapping[SequencePlan, Placed],
        request: Request,
        counts: Counts,
    ) -> list[Generation]:
        """What each ensemble generates, side by side; sequences of one shape share a row group."""
        started = time.perf_counter()
        cached, max_new_tokens = self._prefix.done, request.max_new_tokens
        batch = start_batch(self.model, ensembles, placed, cached, max_new_tokens, self.ops.attend)
        results = Results(len(ensembles), max_new_tokens, self.model.device)
        counts.decode_tokens += self._run(batch, results)
        counts.decode_seconds += time.perf_counter() - started
        return results.generated()

    def _run(self, batch: Batch, results: Results) -> int:
        """Decode a batch to its end; returns the tokens fed. A seam: its steps can be watched."""
        return decode(self.model, batch, results, self._stops, self.ops.pick_best)


def _eos_ids(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, vocabulary: int
) -> list[int]:
    """The ids that end an answer; one outside the vocabulary is never picked and left out."""
    configured = model.generation_config.eos_token_id if model.generation_config else None
    ids = configured if isinstance(configured, list) else [configured, tokenizer.eos_token_id]
    found = sorted({int(i) for i in ids if i is not None})
    outside = [i for i in found if not 0 <= i < vocabulary]
    if outside:
        logger.warning(
            "eos_token_id %s is outside the model's vocabulary of %d and ends no answer",
            ", ".join(map(str, outside)),
            vocabulary,
        )
    return [i for i in found if i not in outside]
