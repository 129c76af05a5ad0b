"""The engine against other ways to do the same job, with the same prompts in the same run.

    python -m benchmarks.baselines --vllm-python /path/to/its/bin/python

The ratios are the speeds that this project wants to reach.
"""

from pathlib import Path

import click
from transformers.utils import logging

from benchmarks.baselines.baseline import ratios
from benchmarks.baselines.job import BATCHES, PUBLISHED, WARM_UP_SAMPLES, Job
from benchmarks.baselines.vllm_baseline import NAME as VLLM
from benchmarks.measure import RepeatLimit
from benchmarks.options import Benchmark, model_option, repeats_option, samples_option
from benchmarks.questions import MAX_SAMPLES, NUM_PARAPHRASES, SEED
from benchmarks.report import BenchmarkReport, describe_torch
from benchmarks.workload import MAX_EXAMPLES, MODEL, Workload

TARGETS = (
    *(("engine, flex_attention", name) for name in PUBLISHED.values()),
    ("engine, flex_attention", VLLM),
    ("engine, per_prompt", VLLM),
)

NOTES = (
    "published algorithm: FlexAttention with a block mask, not compiled; and with a dense mask",
    "prompts/s: paraphrases read per second, also where all those of a question give one answer",
    "same tokens: share of the tokens that are those of generate's largest batch; rounding alone "
    "makes two ways differ, and all that follows a token that differs is another text",
)


@click.command(cls=Benchmark)
@samples_option(128, MAX_SAMPLES - WARM_UP_SAMPLES, "Questions for the engine and for vLLM.")
@click.option(
    "--prompts",
    type=click.IntRange(1, NUM_PARAPHRASES * max(BATCHES)),
    default=64,
    show_default=True,
    help="Prompts for transformers' ways: one paraphrase of 32 questions after the other.",
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
@click.option(
    "--examples",
    type=click.IntRange(0, MAX_EXAMPLES),
    default=5,
    show_default=True,
    help="Few-shot examples before every question.",
)
@repeats_option
@model_option(MODEL)
def main(
    samples: int,
    prompts: int,
    published: int,
    vllm_python: Path | None,
    examples: int,
    repeats: int,
    model: str,
) -> None:
    """Questions and prompts per second of each way, in 5 paraphrases, 20 tokens each."""
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    workload, limit = Workload(model=model, examples=examples), RepeatLimit(repeats)
    loaded = workload.loaded_engine()
    job = Job(workload, loaded, samples, limit)
    baselines = [
        *job.transformers(prompts, published),
        job.vllm(vllm_python),
        *(job.engine(method) for method in ("per_prompt", "flex_attention")),
    ]
    slowest, largest_batch = baselines[0], baselines[len(PUBLISHED) + len(BATCHES) - 1]
    rows = [each.row(slowest, largest_batch, workload.paraphrases) for each in baselines]
    claim = f"{model}: 5 paraphrases, {examples} examples, 20 tokens, early stop off"
    machine = {**describe_torch(), **loaded.choices}
    BenchmarkReport(
        claim, machine, {"questions": SEED}, rows, ratios(baselines, TARGETS), NOTES
    ).show()


if __name__ == "__main__":
    main()
