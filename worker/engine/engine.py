"""The engine: samples and methods in, answers out.

A call prefills each segment that its methods need once, decodes all their sequences, and returns
the answers by method.
"""

import logging
from collections.abc import Mapping, Sequence
from functools import partial

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from common.records import Sample
from worker.engine.attention.backend import AttentionBackend
from worker.engine.budget import DEFAULT_BUDGET, Budget
from worker.engine.compilation import EAGER, DecodeOps
from worker.engine.decode_bucket import DecodeBucket
from worker.engine.ensembles import Ensemble, SamplePlan
from worker.engine.generated_tokens import GeneratedTokens
from worker.engine.kv_cache import KVCache
from worker.engine.model_runner import ModelRunner
from worker.engine.nan_logits import refuse_nan
from worker.engine.outputs import AnswerReader, EngineOutput, Generation, SampleAnswers, collect
from worker.engine.planning import plan_sample, tokenize_samples
from worker.engine.prefix_cache import PrefixCache
from worker.engine.request import OnAnswered, Request, as_sample, nobody_listens
from worker.engine.scheduler import Scheduler
from worker.engine.segments import SequencePlan
from worker.engine.stats import EngineStats
from worker.engine.stop_table import StopTables
from worker.model.attention_interface import install_attention
from worker.model.geometry import ModelGeometry, dtype_name, geometry_of
from worker.model.tokenizer import PromptTokenizer

logger = logging.getLogger(__name__)


class Engine:
    """A model that answers samples in several paraphrases.

    backend: attention backend of prefill. budget: how much is computed at once; a budget set later
    counts from the next call on. ops: the compilable operations of a decode step.
    """

    runner_type: type[ModelRunner] = ModelRunner

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        backend: AttentionBackend,
        budget: Budget = DEFAULT_BUDGET,
        ops: DecodeOps = EAGER,
    ) -> None:
        install_attention(model)
        geometry = geometry_of(model)
        self.tokenizer = PromptTokenizer(tokenizer)
        self.runner = self.runner_type(model.eval(), geometry, backend, ops)
        self.scheduler = Scheduler(geometry, model.dtype.itemsize, budget)
        self.prefixes = PrefixCache(self.runner, self.tokenizer)
        eos_ids = _eos_ids(geometry, tokenizer)
        self._stops = StopTables(self.tokenizer, eos_ids, geometry.vocabulary, model.device)

    @torch.inference_mode()
    def run(
        self,
        samples: Sequence[Sample | Sequence[str]],
        request: Request,
        on_answered: OnAnswered = nobody_listens,
    ) -> EngineOutput:
        """Answer samples. A method that cannot answer one has a SampleError in its place.

        on_answered: hears of samples as they are answered. Raises StopRun if several samples have
        answers and all of their logits are NaN.
        """
        stats = EngineStats()
        known = [as_sample(sample) for sample in samples]
        tokenized = tokenize_samples(known, request, self.tokenizer)
        prefix = self.prefixes.get(request, {len(each.prompts.prefix) for each in tokenized})
        plans = [plan_sample(s, request, prefix.splitter, self.geometry) for s in tokenized]
        generations: dict[Ensemble, Generation] = {}
        for batch in self.scheduler.batches(plans, prefix.cache, request):
            # What a sample was answered stays, if an equal one comes in a later batch.
            generations = self._answer_batch(batch, prefix.cache, request, stats) | generations
            on_answered(len(batch))
        collected = [collect(plan, generations) for plan in plans]
        by_method = refuse_nan(collected, dtype_name(self.model))
        pairs, reader = zip(known, by_method, strict=True), self.reader(request)
        return EngineOutput([SampleAnswers(s, each, reader) for s, each in pairs], stats)

    def _answer_batch(
        self, plans: Sequence[SamplePlan], prefix: KVCache, request: Request, stats: EngineStats
    ) -> dict[Ensemble, Generation]:
        """Prefill and decode a batch; its caches are freed before those of the next are made."""
        caches: dict[SequencePlan, KVCache] = {}
        with stats.prefilling():
            for pack in self.scheduler.packs(plans, prefix):
                caches |= dict.fromkeys(pack.sequences, self.runner.prefill(pack, prefix))
                stats.prefill_tokens += pack.num_new_tokens
            self.runner.synchronize()
        generations: dict[Ensemble, Generation] = {}
        for ensembles in self.scheduler.buckets(plans, prefix, request):
            with stats.decoding():
                bucket = self.load(ensembles, caches, prefix, request)
                generations |= self._decode(bucket)
            stats.decode_tokens += bucket.num_fed
            del bucket  # Else its keys are in memory beside those of the next one.
        return generations

    def _decode(self, bucket: DecodeBucket) -> dict[Ensemble, Generation]:
        """Step until every ensemble of a bucket is finished."""
        while bucket.num_running:
            self.runner.step(bucket)
            bucket.compact()
        return bucket.generations()

    def reader(self, request: Request) -> AnswerReader:
        """The reader of the answers to a request."""
        return AnswerReader(request, partial(self._stops.text, request=request))

    def load(
        self,
        ensembles: Sequence[Ensemble],
        caches: Mapping[SequencePlan, KVCache],
        prefix: KVCache,
        request: Request,
    ) -> DecodeBucket:
        """Make the bucket of some ensembles."""
        output = GeneratedTokens(
            len(ensembles),
            request.max_new_tokens,
            self._stops.of(request),
            request.max_reasoning_tokens,
        )
        return self.runner.load(ensembles, caches, prefix, output)

    @property
    def model(self) -> PreTrainedModel:
        return self.runner.model

    @property
    def geometry(self) -> ModelGeometry:
        return self.runner.geometry

    @property
    def budget(self) -> Budget:
        """How much is computed at once."""
        return self.scheduler.budget

    @budget.setter
    def budget(self, budget: Budget) -> None:
        self.scheduler.budget = budget

    def prompt(self, paraphrase: str, request: Request) -> str:
        """The literal prompt of a paraphrase."""
        (text,) = self.tokenizer.texts(request.prompt_format, [paraphrase])
        return text


def _eos_ids(geometry: ModelGeometry, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Return the ids that end an answer; logs and leaves out ids outside the vocabulary.

    They are those of the generation config, and the tokenizer's.
    """
    named = (*geometry.eos_ids, tokenizer.eos_token_id)
    ids = sorted({int(i) for i in named if i is not None})
    outside = [i for i in ids if not 0 <= i < geometry.vocabulary]
    if outside:
        logger.warning(
            "eos_token_id %s is outside the model's vocabulary of %d and ends no answer",
            ", ".join(map(str, outside)),
            geometry.vocabulary,
        )
    return [i for i in ids if i not in outside]
