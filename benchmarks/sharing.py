"""How many tokens of plain prompts the engine computes: examples once, common prefixes once.

    python -m benchmarks.sharing --file graphquestions=graphquestions_test_paraphrases.jsonl

It loads a tokenizer and no model, and counts with the engine's own planning for `per_prompt`,
which computes all paraphrases, as `avg` and `max` do.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import click

from benchmarks.options import Benchmark, model_option, samples_option
from benchmarks.questions import MAX_SAMPLES, SEED
from benchmarks.report import BenchmarkReport, BenchmarkRow, describe_torch
from benchmarks.workload import MODEL, Workload
from common.errors import UsageError
from common.prompts import PromptFormat
from common.records import Sample
from producer.datasets import open_dataset
from worker.engine.planning import plan_ensembles, tokenize_samples
from worker.engine.prefix_cache import prefix_segments, prefix_splitter
from worker.engine.request import Request
from worker.engine.scheduler import packs_of
from worker.model.model_place import load_tokenizer
from worker.model.tokenizer import PromptTokenizer

PACK_TOKENS = 4096


@click.command(cls=Benchmark)
@samples_option(64, MAX_SAMPLES, "First of each data set.")
@model_option(MODEL)
@click.option(
    "--file",
    "files",
    multiple=True,
    metavar="DATASET=FILE",
    help="A data set's file, read as the producer reads it; may be given again.",
)
def main(samples: int, model: str, files: tuple[str, ...]) -> None:
    """Tokens of prompts, and of them those that are computed."""
    workload = Workload(model=model)
    tokenizer = PromptTokenizer(load_tokenizer(workload.source))
    request = workload.request("per_prompt")
    rows = [_row("the benchmarks' own", workload.questions(samples), request, tokenizer)]
    rows += [_row(*_questions(file, samples, request), tokenizer) for file in files]
    claim = f"{model}'s tokenizer, per_prompt, packs of {PACK_TOKENS} tokens"
    BenchmarkReport(claim, describe_torch(), {"questions": SEED}, rows).show()


def _questions(file: str, samples: int, request: Request) -> tuple[str, list[Sample], Request]:
    """Name, first questions and request of a data set, with its own defaults."""
    name, separator, path = file.partition("=")
    if not separator:
        raise UsageError(f"--file takes DATASET=FILE, such as webqa=questions.jsonl, not {file!r}")
    dataset = open_dataset(name, Path(path))
    paraphrases = dataset.default_num_paraphrases
    examples = tuple(dataset.fallback_examples(dataset.default_few_shot))
    questions = [
        Sample(sample.paraphrases[:paraphrases]) for sample in islice(dataset.samples(), samples)
    ]
    prompt_format = PromptFormat(dataset.template, examples)
    request = replace(request, num_paraphrases=paraphrases, prompt_format=prompt_format)
    return name, questions, request


def _row(
    name: str, questions: Sequence[Sample], request: Request, tokenizer: PromptTokenizer
) -> BenchmarkRow:
    frame = tokenizer.frame(request.prompt_format)
    splitter = prefix_splitter(frame, movable=True)
    tokenized = tokenize_samples(questions, request, tokenizer)
    lengths = [len(prompt) for each in tokenized for prompt in each.prompts.prompts]
    # Decoding, not prefill, feeds a prompt's last token.
    after = sum(length - len(frame.head) - 1 for length in lengths)
    plans = [plan_ensembles(each.prompts, request, splitter, each.sample) for each in tokenized]
    packs = packs_of(plans, prefix_segments(splitter), PACK_TOKENS)
    computed = sum(pack.num_new_tokens for pack in packs)
    return {
        "data set": name,
        "samples": len(questions),
        "paraphrases": len(lengths),
        "tokens": sum(lengths),
        "after the examples": after,
        "computed": computed,
        "of all": computed / sum(lengths),
        "of those after": computed / after,
    }


if __name__ == "__main__":
    main()
