"""The engine against other ways to do the same job: same prompts, same tokens, same run.

    python -m benchmarks.baselines --vllm-python /path/to/its/bin/python

No way ends an answer early. Every way loads weights of its own: an engine may change its model's.
"""

from collections.abc import Sequence
from pathlib import Path

import click
from transformers import PreTrainedModel
from transformers.utils import logging

from benchmarks.answering import answered
from benchmarks.machine import describe_torch
from benchmarks.options import Benchmark, model_option, repeats_option, samples_option
from benchmarks.outcome import Outcome
from benchmarks.prompts import PlainPrompt, by_wording, pieces_of, plain_prompts
from benchmarks.published import published_decode
from benchmarks.timing import ONCE, Patience, timed
from benchmarks.transformers_ways import run_continuous, run_generate
from benchmarks.vllm_way import NAME as VLLM
from benchmarks.vllm_way import run_vllm
from benchmarks.way import Way, ratios
from benchmarks.workload import MAX_SAMPLES, MODEL, SEED, Workload, early_stop
from common.layout import Pieces, pack_fused
from worker.runtime import LoadedEngine
from worker.weights import load_model

PUBLISHED = {"block": "published algorithm", "dense": "published algorithm, SDPA"}
BATCHES = (8, 32)
WARM_UP_SAMPLES = 2
REACH = (
    *(("engine, flex_attention", name) for name in PUBLISHED.values()),
    ("engine, flex_attention", VLLM),
    ("engine, per_prompt", VLLM),
)

NOTES = (
    "published algorithm: FlexAttention with a block mask, not compiled; and with a dense mask",
    "prompts/s: wordings read per second, also where all wordings of a question give one answer",
    "same tokens: share of the tokens that are those of generate's largest batch; rounding alone "
    "makes two ways differ, and all that follows a token that differs is another text",
)


@click.command(cls=Benchmark)
@samples_option(64, MAX_SAMPLES - WARM_UP_SAMPLES, "Questions for the engine and for vLLM.")
@click.option(
    "--prompts",
    type=click.IntRange(1, 5 * (MAX_SAMPLES - WARM_UP_SAMPLES)),
    default=64,
    show_default=True,
    help="Prompts for transformers' ways: one wording of 32 questions after the other.",
)
@click.option(
    "--published",
    type=click.IntRange(1, MAX_SAMPLES),
    default=2,
    show_default=True,
    help="Questions for the published algorithm, which takes up to a minute for each.",
)
@click.option(
    "--vllm-python",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Interpreter of an environment that has vLLM.  [default: vLLM is left out]",
)
@repeats_option
@model_option(MODEL)
def main(
    samples: int, prompts: int, published: int, vllm_python: Path | None, repeats: int, model: str
) -> None:
    """Questions and prompts per second of each way, 5 wordings, 5 examples, 20 tokens."""
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    workload, patience = Workload(model=model), Patience(repeats)
    held = workload.held_engine()
    job = Job(workload, held, samples, patience)
    ways = [
        *job.others(prompts, published),
        job.vllm(vllm_python),
        *(job.engine(method) for method in ("per_prompt", "flex_attention")),
    ]
    slowest, right = ways[0], ways[len(PUBLISHED) + len(BATCHES) - 1]
    rows = [way.row(slowest, right, workload.wordings) for way in ways]
    claim = f"{model}: 5 wordings, 5 examples, 20 tokens, early stop off"
    machine = {**describe_torch(), **held.choices}
    Outcome(claim, machine, {"questions": SEED}, rows, ratios(ways, REACH), NOTES).show()


class Job:
    """One set of questions, and the ways to answer it."""

    def __init__(
        self, workload: Workload, held: LoadedEngine, samples: int, patience: Patience
    ) -> None:
        self._workload, self._held, self._patience = workload, held, patience
        questions = workload.questions(samples + WARM_UP_SAMPLES)
        self._questions = questions[:samples]
        self._pieces = pieces_of(held.engine.tokenizer, questions, workload)
        prompts = plain_prompts(self._pieces)
        self._prompts = prompts[: samples * workload.wordings]
        self._warm_up = prompts[samples * workload.wordings :]

    def others(self, prompts: int, published: int) -> list[Way]:
        """Everything that runs on transformers' own model: the published algorithm first."""
        engine, dtype = self._held.engine, self._held.choices["dtype"]
        model = load_model(self._workload.source, dtype, str(engine.model.device)).model.eval()
        asked = self._in_batches(prompts)
        length, patience = self._workload.max_new_tokens, self._patience
        return [
            *(self._published(model, self._pieces[:published], kind) for kind in PUBLISHED),
            *(run_generate(model, asked, batch, length, patience) for batch in BATCHES),
            run_continuous(model, asked, self._warm_up, length, patience),
        ]

    def _in_batches(self, prompts: int) -> list[PlainPrompt]:
        """The first prompts, the same wording of as many questions as the largest batch holds."""
        some = [p for p in self._prompts if p.place[0] < max(BATCHES)]
        return by_wording(some)[:prompts]

    def _published(self, model: PreTrainedModel, pieces: Sequence[Pieces], kind: str) -> Way:
        packed = [pack_fused(each, "concat", "sequential") for each in pieces]
        length, count = self._workload.max_new_tokens, len(self._questions)

        def work() -> None:
            for prompt in packed:
                published_decode(model, prompt, length, kind)

        published_decode(model, packed[0], 1, kind)
        took = timed(work, ONCE)
        minutes = took.seconds * count / len(packed) / 60
        note = f"measured on {len(packed)}; {count} questions: {minutes:.1f} min, extrapolated"
        return Way(PUBLISHED[kind], len(packed) * self._workload.wordings, took, note=note)

    def vllm(self, python: Path | None) -> Way:
        """vLLM: all wordings of all questions, those of a question one after the other."""
        return run_vllm(
            python, self._workload.source, self._held.choices["dtype"], self._prompts,
            self._warm_up, self._workload.max_new_tokens, self._patience,
        )  # fmt: skip

    def engine(self, method: str) -> Way:
        """This project's engine, as a worker holds it."""
        engine = self._held.engine
        with early_stop(engine, on=False):
            done = answered(
                engine, self._questions, self._workload.request(method), self._patience
            )
        given = [t for tokens in done.tokens(method) for t in tokens]
        places = [prompt.place for prompt in self._prompts]
        # One answer for all wordings of a question is no prompt's.
        tokens = dict(zip(places, given, strict=True)) if len(given) == len(places) else {}
        return Way(f"engine, {method}", len(places), done.time, tokens)


if __name__ == "__main__":
    main()
