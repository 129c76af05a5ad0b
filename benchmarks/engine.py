"""How fast the engine is, method by method, and how much of the machine it uses.

    python -m benchmarks.engine

Prefill is held against one large product of the model's dtype, decoding against the products of
its own steps at as many rows as there are sequences (`roofline`).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import click

from benchmarks.measure import RepeatLimit, TimedAnswers, peak_mib, reset_peak, time_answers
from benchmarks.options import Benchmark, model_option, repeats_option, samples_option
from benchmarks.questions import MAX_SAMPLES, SEED
from benchmarks.report import BenchmarkReport, BenchmarkRow, describe_torch
from benchmarks.roofline import SEED as RATES_SEED
from benchmarks.roofline import LinearShapes, decode_seconds, prefill_rate
from benchmarks.workload import MODEL, Workload, early_stop
from worker.engine.engine import Engine

METHODS = ("origin", "per_prompt", "avg", "max", "flex_attention")
SWEEP_AT = 64
ALL = "all five"

NOTES = (
    "prefill of machine: of the rate of a [4096, hidden] x [hidden, intermediate] product",
    "decode of machine: of the rate of the step's own products at as many rows; without early "
    "stop, since with it rows leave",
)


@dataclass(frozen=True)
class Case:
    """One row: what is asked, and of how many samples."""

    name: str
    methods: tuple[str, ...]
    workload: Workload
    samples: int
    stops: bool


@click.command(cls=Benchmark)
@samples_option((8, 64, 512), MAX_SAMPLES, "Of flex_attention; repeat for several.", multiple=True)
@click.option(
    "--sweep-at",
    type=click.IntRange(1, MAX_SAMPLES),
    default=SWEEP_AT,
    show_default=True,
    help="Samples of the rows that compare methods and layouts.",
)
@repeats_option
@model_option(MODEL)
def main(samples: tuple[int, ...], sweep_at: int, repeats: int, model: str) -> None:
    """Each method alone, the five in one pass, and both layouts; early stop off and on."""
    workload = Workload(model=model)
    held = workload.held_engine()
    bench = Bench(held.engine, RepeatLimit(repeats, seconds=5.0))
    rows = [bench.row(case) for case in cases(workload, samples, sweep_at)]
    machine = {**describe_torch(), **held.choices, "matmul GFLOP/s": bench.prefill_rate / 1e9}
    claim = (
        f"{model}: {workload.paraphrases} paraphrases, {workload.examples} examples, "
        f"{workload.max_new_tokens} tokens"
    )
    seeds = {"questions": SEED, "matrices": RATES_SEED}
    BenchmarkReport(claim, machine, seeds, rows, ratios(rows, sweep_at), NOTES).show()


def cases(workload: Workload, samples: tuple[int, ...], sweep_at: int) -> Iterator[Case]:
    """The sweep over methods at one count, flex_attention at every count."""
    shared = replace(workload, layout="shared")
    for stops in (False, True):
        for method in METHODS:
            yield Case(method, (method,), workload, sweep_at, stops)
        yield Case(ALL, METHODS, workload, sweep_at, stops)
        yield Case("flex_attention", ("flex_attention",), shared, sweep_at, stops)
        for count in sorted(set(samples) - {sweep_at}):
            yield Case("flex_attention", ("flex_attention",), workload, count, stops)


class Bench:
    """One engine, and what its machine could do."""

    def __init__(self, engine: Engine, limit: RepeatLimit) -> None:
        model = engine.model
        self._engine, self._limit = engine, limit
        self._shapes = LinearShapes.of(model.config)
        self.prefill_rate = prefill_rate(model.config, model.dtype, model.device)

    def row(self, case: Case) -> BenchmarkRow:
        reset_peak()
        with early_stop(self._engine, case.stops):
            measured = time_answers(
                self._engine,
                case.workload.questions(case.samples),
                case.workload.request(*case.methods),
                self._limit,
            )
        peak, counts = peak_mib(), measured.counts
        prefill = counts.prefill_tokens / counts.prefill_seconds
        return {
            "methods": case.name,
            "layout": case.workload.layout,
            "early stop": "on" if case.stops else "off",
            "samples": case.samples,
            "seconds": measured.seconds,
            "questions/s": case.samples / measured.seconds,
            "prefill tokens/s": prefill,
            "prefill of machine": prefill * self._shapes.prefill_flops / self.prefill_rate,
            "decode tokens/s": counts.decode_tokens / counts.decode_seconds,
            "decode of machine": None if case.stops else self._decode_share(case, measured),
            "peak MiB": peak,
            "repeats": measured.time.repeats,
        }

    def _decode_share(self, case: Case, measured: TimedAnswers) -> float:
        """Seconds that the products of all steps take alone, over those of decoding."""
        steps = case.workload.max_new_tokens
        model, rows = self._engine.model, measured.counts.decode_tokens // steps
        alone = decode_seconds(self._shapes, rows, model.dtype, model.device)
        return steps * alone / measured.counts.decode_seconds


def ratios(rows: list[BenchmarkRow], sweep_at: int) -> dict[str, float]:
    """Of seconds, at the count of the sweep."""
    columns = ("methods", "layout", "early stop", "samples")
    seconds = {tuple(row[name] for name in columns): row["seconds"] for row in rows}
    found = {}
    for stop in ("off", "on"):
        flex = seconds["flex_attention", "concat", stop, sweep_at]
        shared = seconds["flex_attention", "shared", stop, sweep_at]
        every = seconds[ALL, "concat", stop, sweep_at]
        found[f"all five over flex_attention alone, early stop {stop}"] = every / flex
        found[f"concat over shared, early stop {stop}"] = flex / shared
    return found


if __name__ == "__main__":
    main()
