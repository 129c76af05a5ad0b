"""The engine: samples and methods in, answers out.

A call prefills each segment that its methods need once, decodes all their sequences in one loop,
and returns the answers by method.
"""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from common.records import Sample
from worker.engine.answer_end import AnswerText
from worker.engine.attention.backend import AttentionBackend
from worker.engine.decode import Batch, Generation, Results, decode, start_batch
from worker.engine.decode_ops import EAGER, DecodeOps
from worker.engine.ensembles import Ensemble
from worker.engine.kv_cache import Placed, prefill
from worker.engine.numbers import refuse_nan
from worker.engine.packing import split_by_budget
from worker.engine.planning import plan_samples, tokenize_samples
from worker.engine.prefix_cache import PrefixCache
from worker.engine.prefix_tree import packs_of, split_shared_prefixes
from worker.engine.request import Counts, Request, as_sample
from worker.engine.sample import Answers, SamplePlan, collect
from worker.engine.segments import SequencePlan, distinct_segments
from worker.engine.stop_table import StopTables
from worker.model.attention_interface import install_attention
from worker.model.geometry import dtype_name, geometry_of
from worker.model.tokenizer import PromptTokenizer

logger = logging.getLogger(__name__)

_LOGIT_COPIES = 6
"""Copies of a step's float32 logits that are in memory at once: the logits, log-probabilities,
and tempered probabilities while tokens are drawn."""


class Engine:
    """A model that answers samples in several paraphrases.

    backend: attention backend of prefill. pack_tokens: tokens of one prefill row. cache_bytes:
    memory for the keys, values and logits of sequences decoded at once. ops: the compilable
    operations of a decode step, eager or compiled.
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
        self._stops = StopTables(self.tokenizer, eos_ids, vocabulary, model.device)

    @torch.inference_mode()
    def answer(
        self,
        samples: Sequence[Sample | Sequence[str]],
        request: Request,
        counts: Counts | None = None,
    ) -> list[Answers]:
        """Return the answers of each sample, by method name.

        A method that cannot answer a sample has a SampleError in place of its answers. Raises
        StopRun if several samples have answers and all of their logits are NaN.
        """
        counts = counts or Counts()
        tokenized = tokenize_samples(
            [as_sample(sample) for sample in samples], request, self.tokenizer
        )
        ends = {len(each.prompts.prefix) for each in tokenized}
        self._prefix = self._prefix_cache.get(request, self.backend, ends)
        plans = plan_samples(
            tokenized,
            request,
            self._prefix.splitter,
            self.geometry.length_fault,
            self.geometry.num_ids,
        )
        answers: list[Answers] = []
        try:
            for batch in self._batches(plans, request):
                answers += self._answer_batch(batch, request, counts)
                counts.answered(len(batch))
        except Exception:
            counts.answered(-len(answers))
            raise
        return refuse_nan(answers, dtype_name(self.model))

    @property
    def movable(self) -> bool:
        """Whether keys may be rotated to another position."""
        return self._prefix_cache.none.splitter.movable

    def prompt(self, paraphrase: str, request: Request) -> str:
        """The literal prompt of a paraphrase."""
        (text,) = self.tokenizer.texts(request.prompt_format, [paraphrase])
        return text

    def text(self, generation: Generation, request: Request) -> AnswerText:
        """The decoded text of an answer to a request, and what of it is reasoning."""
        return self._stops.text(generation.tokens, request)

    def _batches(
        self, plans: Sequence[SamplePlan], request: Request
    ) -> Iterator[list[SamplePlan]]:
        """Yield groups of neighbouring samples that are decoded together."""
        yield from split_by_budget(
            plans, lambda plan: self._decode_bytes(plan.sequences, request), self.cache_bytes
        )

    def _decode_bytes(self, sequences: Sequence[SequencePlan], request: Request) -> int:
        """Bytes that decoding takes: the sequences' own keys and values, and their logits."""
        prefix = self._prefix.cache
        slot = self.geometry.slot_numbers * prefix.keys.element_size()
        refs = (ref for s in sequences for ref in s.refs if ref.segment not in prefix.slots)
        own = sum(len(ref.segment.tokens) for ref in refs)
        logits = _LOGIT_COPIES * 4 * self.geometry.vocabulary
        return int(slot * own + (slot * request.max_new_tokens + logits) * len(sequences))

    def _answer_batch(
        self, plans: Sequence[SamplePlan], request: Request, counts: Counts
    ) -> list[Answers]:
        placed = self._prefill(plans, counts)
        ensembles = [ensemble for plan in plans for ensemble in plan.ensembles]
        # A sample alone may be too large, as with many draws of many paraphrases.
        parts = split_by_budget(
            ensembles, lambda e: self._decode_bytes(e.sequences, request), self.cache_bytes
        )
        generations = (g for part in parts for g in self._decode(part, placed, request, counts))
        return [collect(plan, generations) for plan in plans]

    def _prefill(self, plans: Sequence[SamplePlan], counts: Counts) -> dict[SequencePlan, Placed]:
        """Prefill in packs; returns where the keys of each sequence are."""
        prefix = self._prefix.cache
        started = time.perf_counter()
        placed: dict[SequencePlan, Placed] = {}
        for pack in packs_of(plans, prefix.slots, self.pack_tokens):
            split = split_shared_prefixes([s for p in pack for s in p.sequences], prefix.slots)
            segments = distinct_segments(list(split.values()))
            cache = prefill(self.model, self.backend, segments, prefix)
            counts.prefill_tokens += cache.num_slots - prefix.num_slots
            placed |= {planned: Placed(sequence, cache) for planned, sequence in split.items()}
        if self.model.device.type == "cuda":
            # A GPU still computes when its calls return, and decoding would be charged for it.
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
        """Decode all ensembles together; returns one Generation each, in order."""
        started = time.perf_counter()
        prefix, max_new_tokens = self._prefix.cache, request.max_new_tokens
        batch = start_batch(self.model, ensembles, placed, prefix, max_new_tokens, self.ops.attend)
        stops, most = self._stops.of(request), request.max_reasoning_tokens
        results = Results(len(ensembles), max_new_tokens, stops, most)
        counts.decode_tokens += self._run(batch, results)
        counts.decode_seconds += time.perf_counter() - started
        return results.generations()

    def _run(self, batch: Batch, results: Results) -> int:
        """Decode a batch to its end; returns the number of tokens fed.

        A method of its own, so that subclasses can watch the steps.
        """
        return decode(self.model, batch, results, self.ops.pick_best)


def _eos_ids(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, vocabulary: int
) -> list[int]:
    """Return the ids that end an answer; logs and leaves out ids outside the vocabulary.

    They are those of the generation config, and the tokenizer's.
    """
    configured = model.generation_config.eos_token_id if model.generation_config else None
    named = configured if isinstance(configured, list) else [configured]
    ids = sorted({int(i) for i in (*named, tokenizer.eos_token_id) if i is not None})
    outside = [i for i in ids if not 0 <= i < vocabulary]
    if outside:
        logger.warning(
            "eos_token_id %s is outside the model's vocabulary of %d and ends no answer",
            ", ".join(map(str, outside)),
            vocabulary,
        )
    return [i for i in ids if i not in outside]
