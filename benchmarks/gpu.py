"""The engine on one GPU: FlexAttention against dense SDPA against the published algorithm.

    python -m benchmarks.gpu

One command of at most 8 minutes, which needs no model and no network: Llama-3.2-3B with random
weights, 2,032 questions in 5 wordings. First a tiny model must give the reference's tokens.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click
import torch

from benchmarks.deadline import Clock, OutOfTime, deadline
from benchmarks.engine import ALL, METHODS
from benchmarks.floors import Machine
from benchmarks.gpu_check import QUESTIONS as CHECK_QUESTIONS
from benchmarks.gpu_check import check
from benchmarks.gpu_engines import Engines
from benchmarks.gpu_table import Case, Table
from benchmarks.job import PUBLISHED
from benchmarks.machine import describe_torch
from benchmarks.many_questions import (
    MAX_QUESTIONS,
    many_questions,
    prompts_of,
    questions_of_file,
    texts_of,
)
from benchmarks.options import Benchmark
from benchmarks.outcome import Outcome, Row
from benchmarks.random_llama import (
    FILE_TOKENIZER_SIZE,
    TOKENIZER_SIZE,
    llama_config,
    make_tokenizer,
    random_model,
)
from benchmarks.random_llama import SEED as WEIGHTS_SEED
from benchmarks.workload import SEED, Workload
from common.errors import UsageError

LIMIT_SECONDS = 435.0
"""With the start and the end of the process that is under 8 minutes."""

FLEX, DENSE = "flex_attention, FlexAttention kernel", "flex_attention, dense SDPA kernel"

NOTES = (
    "published algorithm: FlexAttention with a block mask, not compiled; and with a dense mask",
    "prefill of machine: of the rate of [4096, hidden] x [hidden, intermediate] products",
    "decode of floor: the least time that reading weights and keys, or multiplying, could take at "
    "the measured rates, over the time of decoding",
    "random weights: which streams happen to agree, and so are one row, differs from a trained "
    "model's; that matters where methods share streams",
)


@click.command(cls=Benchmark)
@click.option("--device", help="Such as cuda:1, or cpu with --tiny.  [default: cuda]")
@click.option(
    "--tiny", is_flag=True, help="The checks' tiny model and short prompts, to try it out."
)
@click.option("--eager", is_flag=True, help="Compile nothing; leaves FlexAttention's kernel out.")
@click.option("--bos", is_flag=True, help="Begin every prompt with a BOS, as Llama's tokenizer.")
@click.option(
    "--questions",
    type=click.IntRange(1, MAX_QUESTIONS),
    default=MAX_QUESTIONS,
    show_default=True,
    help="How many are asked.",
)
@click.option(
    "--data",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Question file, such as WebQuestions'.  [default: invented ones]",
)
@click.option(
    "--limit", type=click.FloatRange(0, min_open=True), default=LIMIT_SECONDS, show_default=True,
    help="Seconds after which rows that are left are not run.",
)  # fmt: skip
def main(
    device: str | None,
    tiny: bool,
    eager: bool,
    bos: bool,
    questions: int,
    data: Path | None,
    limit: float,
) -> None:
    """Seconds of generation, shares of the machine and peak memory on one GPU."""
    clock = Clock(limit)
    where = chosen_device(device, tiny)
    asked = questions_of_file(data, questions) if data else many_questions(questions)
    workload = Workload(examples=1, max_new_tokens=5) if tiny else Workload()
    size = FILE_TOKENIZER_SIZE if data else TOKENIZER_SIZE
    known = prompts_of([*many_questions(CHECK_QUESTIONS), *asked], workload)
    engines = Engines(make_tokenizer(known, size, bos), eager)
    try:
        with deadline(clock.left):
            unable = check(engines, METHODS, many_questions(CHECK_QUESTIONS), where)
            # What the check has compiled must not count against the limits of compilation.
            torch.compiler.reset()
            config = llama_config(tiny)
            model = random_model(config, torch.bfloat16, where)
            table = Table(model, engines, asked, Machine.measure(model), unable, clock)
    except OutOfTime:
        raise UsageError(f"the self-check was not done after {limit:.0f} s") from None
    measure(table, workload)
    name = "the tiny model of the checks" if tiny else "Llama-3.2-3B, random weights"
    claim = (
        f"{name}: {len(asked)} questions, {workload.wordings} wordings, {workload.examples} "
        f"examples, {workload.max_new_tokens} tokens, early stop off"
    )
    Outcome(
        claim, described(table, bos), {"questions": SEED, "weights": WEIGHTS_SEED},
        table.rows, ratios(table.rows), (*table.notes, *NOTES),
    ).show()  # fmt: skip


def chosen_device(asked: str | None, tiny: bool) -> torch.device:
    """Raises UsageError where it is not there, or would take hours."""
    if asked is None and not torch.cuda.is_available():
        raise UsageError(
            "torch sees no GPU here; run this where it does, or try it out on this processor "
            "with --device cpu --tiny"
        )
    try:
        device = torch.device(asked or "cuda")
    except RuntimeError:
        raise UsageError(f"--device {asked} is no device; use cuda, cuda:1 or cpu") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UsageError(f"--device {asked}: torch sees {torch.cuda.device_count()} GPUs here")
    if device.type not in ("cuda", "cpu") or (device.type == "cpu" and not tiny):
        raise UsageError(f"--device {asked} is for a GPU, or for cpu together with --tiny")
    return device


def measure(table: Table, concat: Workload) -> None:
    """All rows, those first that matter most."""
    shared = replace(concat, layout="shared")
    for kind, way in PUBLISHED.items():
        table.add_published(way, kind, concat)
    if table.engines.eager:
        table.unable["flex"] = "--eager leaves it out"
    best = "cascade" if table.engines.eager else "flex"
    one = ("flex_attention",)
    for case in (
        Case(FLEX, "flex", concat, one),
        Case(DENSE, "sdpa", concat, one),
        Case("per_prompt", best, concat, ("per_prompt",)),
        Case(ALL, best, concat, METHODS),
        Case(FLEX, "flex", shared, one),
        Case("flex_attention, cascade kernel", "cascade", concat, one),
    ):
        table.add(case)


def described(table: Table, bos: bool) -> Row:
    """The machine, and what the figures depend on."""
    engines, machine = table.engines, table.machine
    texts = texts_of(table.questions)
    tokens = engines.tokenizer(texts, add_special_tokens=False)["input_ids"]
    return {
        **describe_torch(),
        "dtype": "bfloat16",
        "matmul TFLOP/s": round(machine.multiplied / 1e12, 3),
        "copy GB/s": round(machine.moved / 1e9, 3),
        "compiled": not engines.eager,
        "BOS": bos,
        "tokens per wording": round(sum(map(len, tokens)) / len(texts), 2),
    }


def ratios(rows: Sequence[Row]) -> dict[str, float]:
    """Between rows that were run."""
    seconds = {(row["way"], row["layout"]): row["seconds"] for row in rows}
    flex = seconds[FLEX, "concat"]
    pairs = {
        "flex_attention over the published algorithm": (
            seconds[PUBLISHED["block"], "concat"],
            flex,
        ),
        "dense SDPA kernel's time over FlexAttention's": (seconds[DENSE, "concat"], flex),
        "all five's time over flex_attention's": (seconds[ALL, "concat"], flex),
        "concat's time over shared's": (flex, seconds[FLEX, "shared"]),
    }
    return {name: long / short for name, (long, short) in pairs.items() if long and short}


if __name__ == "__main__":
    main()
