"""The job: one set of questions, answered by every baseline.

No baseline ends an answer early. The engine and the other ways load separate weights, because an
engine may change those of its model.
"""

from collections.abc import Sequence
from pathlib import Path

from transformers import PreTrainedModel

from benchmarks.baselines.baseline import Baseline, PlainPrompt, by_paraphrase, plain_prompts
from benchmarks.baselines.published import published_decode
from benchmarks.baselines.transformers_baseline import run_continuous, run_generate
from benchmarks.baselines.vllm_baseline import run_vllm
from benchmarks.measure import ONCE, RepeatLimit, time_answers, timed
from benchmarks.workload import Workload, without_stops
from common.layout import PromptTokens, pack_fused
from worker.loaded_engine import LoadedEngine
from worker.model.loader import load_model

PUBLISHED = {"block": "published algorithm", "dense": "published algorithm, SDPA"}
BATCHES = (8, 32)
WARM_UP_SAMPLES = 2


class Job:
    """Runs baselines on questions and on their prompts; a method for each kind of baseline."""

    def __init__(
        self, workload: Workload, loaded: LoadedEngine, samples: int, limit: RepeatLimit
    ) -> None:
        self._workload, self._loaded, self._limit = workload, loaded, limit
        questions = workload.questions(samples + WARM_UP_SAMPLES)
        self._questions = questions[:samples]
        self._prompt_tokens = workload.prompt_tokens(loaded.engine.tokenizer, questions)
        prompts = plain_prompts(self._prompt_tokens)
        self._prompts = prompts[: samples * workload.paraphrases]
        self._warm_up = prompts[samples * workload.paraphrases :]

    def transformers(self, prompts: int, published: int) -> list[Baseline]:
        """Baselines on transformers' own model, the published algorithm first."""
        engine, dtype = self._loaded.engine, self._loaded.choices["dtype"]
        model = load_model(self._workload.source, dtype, str(engine.model.device)).model.eval()
        batched = self._in_batches(prompts)
        length, limit = self._workload.max_new_tokens, self._limit
        return [
            *(self._published(model, self._prompt_tokens[:published], kind) for kind in PUBLISHED),
            *(run_generate(model, batched, batch, length, limit) for batch in BATCHES),
            run_continuous(model, batched, self._warm_up, length, limit),
        ]

    def _in_batches(self, prompts: int) -> list[PlainPrompt]:
        """First prompts, in the order of `by_paraphrase`; the largest batch is one paraphrase."""
        of_batch = [p for p in self._prompts if p.place[0] < max(BATCHES)]
        return by_paraphrase(of_batch)[:prompts]

    def _published(
        self, model: PreTrainedModel, prompt_tokens: Sequence[PromptTokens], kind: str
    ) -> Baseline:
        packed = [pack_fused(each, "concat", "sequential") for each in prompt_tokens]
        length, count = self._workload.max_new_tokens, len(self._questions)

        def work() -> None:
            for prompt in packed:
                published_decode(model, prompt, length, kind)

        published_decode(model, packed[0], 1, kind)
        time = timed(work, ONCE)
        minutes = time.seconds * count / len(packed) / 60
        note = f"measured on {len(packed)}; {count} questions: {minutes:.1f} min, extrapolated"
        return Baseline(PUBLISHED[kind], len(packed) * self._workload.paraphrases, time, note=note)

    def vllm(self, python: Path | None) -> Baseline:
        """vLLM on all paraphrases of all questions, question by question."""
        return run_vllm(
            python, self._workload.source, self._loaded.choices["dtype"], self._prompts,
            self._warm_up, self._workload.max_new_tokens, self._limit,
        )  # fmt: skip

    def engine(self, method: str) -> Baseline:
        """Time this project's engine, built as in a worker."""
        request = without_stops(self._workload.request(method))
        measured = time_answers(self._loaded.engine, self._questions, request, self._limit)
        answers = [t for tokens in measured.tokens(method) for t in tokens]
        places = [prompt.place for prompt in self._prompts]
        # An answer to all paraphrases of a question belongs to no single prompt.
        tokens = dict(zip(places, answers, strict=True)) if len(answers) == len(places) else {}
        return Baseline(f"engine, {method}", len(places), measured.time, tokens)
