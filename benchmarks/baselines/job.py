"""One set of questions, and every way to answer it that is measured.

No way ends an answer early. Every way loads weights of its own: an engine may change its model's.
"""

from collections.abc import Sequence
from pathlib import Path

from transformers import PreTrainedModel

from benchmarks.baselines.baseline import Way
from benchmarks.baselines.published import published_decode
from benchmarks.baselines.transformers_baseline import run_continuous, run_generate
from benchmarks.baselines.vllm_baseline import run_vllm
from benchmarks.measure import ONCE, RepeatLimit, time_answers, timed
from benchmarks.prompts import PlainPrompt, by_paraphrase, plain_prompts
from benchmarks.workload import Workload, early_stop
from common.layout import PromptTokens, pack_fused
from worker.manager import LoadedEngine
from worker.model.loader import load_model

PUBLISHED = {"block": "published algorithm", "dense": "published algorithm, SDPA"}
BATCHES = (8, 32)
WARM_UP_SAMPLES = 2


class Job:
    """One set of questions, and the ways to answer it."""

    def __init__(
        self, workload: Workload, held: LoadedEngine, samples: int, limit: RepeatLimit
    ) -> None:
        self._workload, self._held, self._limit = workload, held, limit
        questions = workload.questions(samples + WARM_UP_SAMPLES)
        self._questions = questions[:samples]
        self._prompt_tokens = workload.prompt_tokens(held.engine.tokenizer, questions)
        prompts = plain_prompts(self._prompt_tokens)
        self._prompts = prompts[: samples * workload.paraphrases]
        self._warm_up = prompts[samples * workload.paraphrases :]

    def others(self, prompts: int, published: int) -> list[Way]:
        """Everything that runs on transformers' own model: the published algorithm first."""
        engine, dtype = self._held.engine, self._held.choices["dtype"]
        model = load_model(self._workload.source, dtype, str(engine.model.device)).model.eval()
        asked = self._in_batches(prompts)
        length, limit = self._workload.max_new_tokens, self._limit
        return [
            *(self._published(model, self._prompt_tokens[:published], kind) for kind in PUBLISHED),
            *(run_generate(model, asked, batch, length, limit) for batch in BATCHES),
            run_continuous(model, asked, self._warm_up, length, limit),
        ]

    def _in_batches(self, prompts: int) -> list[PlainPrompt]:
        """The first prompts: one paraphrase of as many questions as the largest batch holds."""
        some = [p for p in self._prompts if p.place[0] < max(BATCHES)]
        return by_paraphrase(some)[:prompts]

    def _published(
        self, model: PreTrainedModel, prompt_tokens: Sequence[PromptTokens], kind: str
    ) -> Way:
        packed = [pack_fused(each, "concat", "sequential") for each in prompt_tokens]
        length, count = self._workload.max_new_tokens, len(self._questions)

        def work() -> None:
            for prompt in packed:
                published_decode(model, prompt, length, kind)

        published_decode(model, packed[0], 1, kind)
        took = timed(work, ONCE)
        minutes = took.seconds * count / len(packed) / 60
        note = f"measured on {len(packed)}; {count} questions: {minutes:.1f} min, extrapolated"
        return Way(PUBLISHED[kind], len(packed) * self._workload.paraphrases, took, note=note)

    def vllm(self, python: Path | None) -> Way:
        """vLLM: all paraphrases of all questions, those of a question one after the other."""
        return run_vllm(
            python, self._workload.source, self._held.choices["dtype"], self._prompts,
            self._warm_up, self._workload.max_new_tokens, self._limit,
        )  # fmt: skip

    def engine(self, method: str) -> Way:
        """This project's engine, as a worker holds it."""
        engine = self._held.engine
        with early_stop(engine, on=False):
            measured = time_answers(
                engine, self._questions, self._workload.request(method), self._limit
            )
        given = [t for tokens in measured.tokens(method) for t in tokens]
        places = [prompt.place for prompt in self._prompts]
        # One answer for all paraphrases of a question is no prompt's.
        tokens = dict(zip(places, given, strict=True)) if len(given) == len(places) else {}
        return Way(f"engine, {method}", len(places), measured.time, tokens)
