"""How many answers depend on the number of samples that are answered together.

    python -m benchmarks.agreement

In half precision a sum rounds differently in another batch, so an answer can change with the size
of its shard. Answers are drawn by the engine's noise and by a walk through the cumulative sum;
both ways of drawing are timed on equal scores.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

import click
import torch

from benchmarks.measure import RepeatLimit, timed
from benchmarks.options import Benchmark, model_option, repeats_option, samples_option
from benchmarks.questions import MAX_SAMPLES, SEED
from benchmarks.report import BenchmarkReport, BenchmarkRow, describe_torch
from benchmarks.vocabulary_walk import drawing_by_walk, sample_by_walk
from benchmarks.workload import MODEL, Workload
from common.methods import CONFIDENCE, PARAPHRASES
from common.records import Sample
from common.run import DTypeName, RunSpec, SamplingParams
from producer import paraphrase_prompt
from worker.answering import make_request
from worker.bisect import Bisector
from worker.engine.engine import Engine
from worker.engine.request import nobody_listens
from worker.engine.sampler import sample_tokens
from worker.paraphrasing import write_paraphrases

GREEDY = ("per_prompt", "avg", "max", "flex_attention")
DRAWS: dict[str, Callable[[], AbstractContextManager[None]]] = {
    "noise": nullcontext,
    "walk": drawing_by_walk,
}
WRITTEN = 2
TIMED_ROWS = 64
TIMED_SAMPLING = {"temperature 1": (1.0, 1.0), "temperature 1.5, top_p 0.9": (1.5, 0.9)}

AnswersByKind = dict[str, list[Any]]
"""Kind of answer -> all answers of that kind, in the samples' order."""

AnswerSamples = Callable[[Sequence[Sample]], AnswersByKind]


@click.command(cls=Benchmark)
@samples_option(64, MAX_SAMPLES, "Questions; all of them are the large call.")
@click.option(
    "--call",
    type=click.IntRange(1, MAX_SAMPLES),
    default=7,
    show_default=True,
    help="Questions in a small call.",
)
@click.option(
    "--draws",
    type=click.IntRange(1, 1000),
    default=20,
    show_default=True,
    help="Answers drawn for each question, at temperature 1.",
)
@click.option(
    "--dtype",
    type=click.Choice(["auto", "bfloat16", "float16", "float32"]),
    default="auto",
    show_default=True,
)
@repeats_option
@model_option(MODEL)
def main(samples: int, call: int, draws: int, dtype: DTypeName, repeats: int, model: str) -> None:
    """Answers in one large call and in small ones: the share that differs."""
    workload = Workload(model=model, dtype=dtype)
    loaded = workload.loaded_engine()
    benchmark = AgreementBenchmark(loaded.engine, workload, samples, call, draws)
    rows = [*benchmark.greedy(), *(row for name in DRAWS for row in benchmark.drawn(name))]
    machine = {**describe_torch(), **loaded.choices}
    claim = f"{model}, {machine['dtype']}: one call of {samples} questions, calls of {call}"
    vocabulary = loaded.engine.model.config.vocab_size
    ratios, notes = draw_times(vocabulary, loaded.engine.model.device, RepeatLimit(repeats))
    BenchmarkReport(
        claim, machine, {"questions": SEED, "scores": SEED}, rows, ratios, notes
    ).show()


@dataclass(frozen=True)
class AgreementBenchmark:
    """Compares the answers of one engine to the same samples, in calls of two sizes."""

    engine: Engine
    workload: Workload
    num_samples: int
    call: int
    num_draws: int

    def greedy(self) -> list[BenchmarkRow]:
        """Compare greedy answers, method by method."""
        request = self.workload.request(*GREEDY)

        def answer(samples: Sequence[Sample]) -> AnswersByKind:
            answers = self.engine.run(samples, request).answers
            return {
                f"answers of {name}": [a.tokens for each in answers for a in each.all(name)]
                for name in GREEDY
            }

        return self._rows("-", self.workload, answer)

    def drawn(self, name: str) -> list[BenchmarkRow]:
        """Compare draws, confidences (computed from draws) and written paraphrases."""
        one = replace(self.workload, paraphrases=1)
        with DRAWS[name]():
            return [
                *self._rows(name, one, self._confidences),
                *self._rows(name, one, self._paraphrases),
            ]

    def _confidences(self, samples: Sequence[Sample]) -> AnswersByKind:
        sampling = SamplingParams(temperature=1, top_p=1, num_draws=self.num_draws)
        spec = self._spec(CONFIDENCE.name, sampling=sampling, num_paraphrases=1)
        output = self.engine.run(samples, make_request([spec]))
        answers = [each[CONFIDENCE.name] for each in output.answers]
        return {
            "draws": [draw.tokens for answer in answers for draw in answer.draws or ()],
            "confidences": [answer.confidence for answer in answers],
        }

    def _paraphrases(self, samples: Sequence[Sample]) -> AnswersByKind:
        spec = self._spec(
            PARAPHRASES.name,
            num_paraphrases=WRITTEN,
            template=paraphrase_prompt.TEMPLATE,
            few_shot=(),
            max_new_tokens=paraphrase_prompt.MAX_NEW_TOKENS,
            sampling=paraphrase_prompt.SAMPLING,
            exemplars=paraphrase_prompt.exemplars(),
        )
        drafts = write_paraphrases(Bisector(self.engine, nobody_listens), spec, samples)
        return {"written paraphrases": [text for d in drafts for text in d.paraphrases[1:]]}

    def _spec(self, method: str, **changes: Any) -> RunSpec:
        return self.workload.spec(method).model_copy(update=changes)

    def _rows(
        self, drawn_by: str, workload: Workload, answer: AnswerSamples
    ) -> list[BenchmarkRow]:
        samples = [
            Sample(question.paraphrases, (), f"question {n}")
            for n, question in enumerate(workload.questions(self.num_samples))
        ]
        large, small = answer(samples), in_calls(samples, self.call, answer)
        return [
            {
                "compared": kind,
                "drawn by": drawn_by,
                "number": len(answers),
                "changed": (changed := num_different(answers, small[kind])),
                "share": changed / len(answers),
                "off by": mean_difference(answers, small[kind]),
            }
            for kind, answers in large.items()
        ]


def in_calls(samples: Sequence[Sample], size: int, answer: AnswerSamples) -> AnswersByKind:
    """Answer `size` samples at a time."""
    by_kind: AnswersByKind = {}
    for first in range(0, len(samples), size):
        for kind, answers in answer(samples[first : first + size]).items():
            by_kind.setdefault(kind, []).extend(answers)
    return by_kind


def num_different(left: Sequence[Any], right: Sequence[Any]) -> int:
    """Number of places at which two sequences differ.

    >>> num_different(["a", "b", "c"], ["a", "c", "b"])
    2
    """
    return sum(a != b for a, b in zip(left, right, strict=True))


def mean_difference(left: Sequence[Any], right: Sequence[Any]) -> float | None:
    """Mean distance of the numbers at the same places; None for other answers.

    >>> mean_difference([0.25, 1.0], [0.5, 1.0])
    0.125
    """
    if not isinstance(left[0], float):
        return None
    return fmean(abs(a - b) for a, b in zip(left, right, strict=True))


@torch.inference_mode()
def draw_times(
    vocabulary: int, device: torch.device, limit: RepeatLimit
) -> tuple[dict[str, float], tuple[str, ...]]:
    """Seconds of drawing by noise over those by the walk, and a note with both."""
    generator = torch.Generator().manual_seed(SEED)
    logits = torch.randn(TIMED_ROWS, vocabulary, generator=generator) * 3
    scores = logits.log_softmax(-1).to(device)
    places = torch.arange(TIMED_ROWS, device=device)
    ratios, notes = {}, []
    for name, (temperature, top_p) in TIMED_SAMPLING.items():
        sampling = SamplingParams(temperature=temperature, top_p=top_p, num_draws=1)
        seconds = []
        for draw in (sample_tokens, sample_by_walk):
            draw(scores, sampling, places, places)
            # tolist: a GPU is still computing when its calls return.
            seconds.append(
                timed(lambda: draw(scores, sampling, places, places).tolist(), limit).seconds  # noqa: B023
            )
        ratios[f"seconds by noise over walk, {name}"] = seconds[0] / seconds[1]
        noise, walk = (f"{1000 * s:.1f} ms" for s in seconds)
        notes.append(
            f"{TIMED_ROWS} draws of {vocabulary} tokens, {name}: noise {noise}, walk {walk}"
        )
    return ratios, tuple(notes)


if __name__ == "__main__":
    main()
