"""How time grows with the work, one thing varied at a time from one base.

    python -m benchmarks.scaling

It should be linear in samples and nearly flat in the few-shot examples, which are computed once.
"""

from collections.abc import Iterator
from dataclasses import replace

import click

from benchmarks.measure import RepeatLimit, time_answers
from benchmarks.options import Benchmark, model_option, repeats_option, samples_option
from benchmarks.questions import MAX_SAMPLES, SEED
from benchmarks.report import BenchmarkReport, BenchmarkRow, describe_torch
from benchmarks.workload import MODEL, Workload, early_stop
from worker.engine.engine import Engine

METHOD = "flex_attention"
TIMES_SAMPLES = (1, 2, 4, 8)
PARAPHRASES = (1, 2, 3, 5)
EXAMPLES = (0, 5, 10, 20)
TOKENS = (5, 10, 20, 40)


@click.command(cls=Benchmark)
@samples_option(16, MAX_SAMPLES // max(TIMES_SAMPLES), "Of the base; up to 8 times as many.")
@repeats_option
@model_option(MODEL)
def main(samples: int, repeats: int, model: str) -> None:
    """Seconds of flex_attention against samples, paraphrases, few-shot length and tokens."""
    base = Workload(model=model)
    held = base.held_engine()
    rows = []
    with early_stop(held.engine, on=False):
        for title, value, count, workload in cases(base, samples):
            rows.append(_row(held.engine, title, value, count, workload, RepeatLimit(repeats)))
    claim = (
        f"{model}, {METHOD}, early stop off; base: {samples} samples, {base.paraphrases} "
        f"paraphrases, {base.examples} few-shot, {base.max_new_tokens} tokens"
    )
    machine = {**describe_torch(), **held.choices}
    BenchmarkReport(claim, machine, {"questions": SEED}, rows, ratios(rows)).show()


def cases(base: Workload, samples: int) -> Iterator[tuple[str, int, int, Workload]]:
    """What is varied, its value, the samples asked and all the rest."""
    for times in TIMES_SAMPLES:
        yield "samples", times * samples, times * samples, base
    for paraphrases in PARAPHRASES:
        yield "paraphrases", paraphrases, samples, replace(base, paraphrases=paraphrases)
    for examples in EXAMPLES:
        yield "few-shot", examples, samples, replace(base, examples=examples)
    for tokens in TOKENS:
        yield "generated tokens", tokens, samples, replace(base, max_new_tokens=tokens)


def _row(
    engine: Engine, title: str, value: int, count: int, workload: Workload, limit: RepeatLimit
) -> BenchmarkRow:
    measured = time_answers(engine, workload.questions(count), workload.request(METHOD), limit)
    return {
        "varied": title,
        "value": value,
        "seconds": measured.seconds,
        "prefill s": measured.counts.prefill_seconds,
        "decode s": measured.counts.decode_seconds,
        "prefill tokens": measured.counts.prefill_tokens,
        "decode tokens": measured.counts.decode_tokens,
        "repeats": measured.time.repeats,
    }


def ratios(rows: list[BenchmarkRow]) -> dict[str, float]:
    """Seconds of the largest value over those of the smallest, for each thing varied."""
    found = {}
    for title in dict.fromkeys(row["varied"] for row in rows):
        first, *_, last = (row for row in rows if row["varied"] == title)
        name = f"time from {first['value']} to {last['value']} {title}"
        found[name] = last["seconds"] / first["seconds"]
    return found


if __name__ == "__main__":
    main()
