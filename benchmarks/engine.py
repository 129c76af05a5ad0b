"""How fast the engine is, method by method, and how much of the machine it uses.

    python -m benchmarks.engine
    python -m benchmarks.engine --vary samples,paraphrases,few-shot,tokens

The first compares the rate of prefill with one large product in the model's dtype, and decoding
with the products of its own steps (`roofline`). The second varies one thing at a time: time should
be linear in samples and nearly flat in the few-shot examples, which are computed once.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import click

from benchmarks.measure import RepeatLimit, TimedAnswers, peak_mib, reset_peak, time_answers
from benchmarks.options import Benchmark, model_option, repeats_option, samples_option
from benchmarks.questions import MAX_SAMPLES, SEED
from benchmarks.report import BenchmarkReport, BenchmarkRow, describe_torch
from benchmarks.roofline import SEED as RATES_SEED
from benchmarks.roofline import LinearShapes, decode_seconds, prefill_rate
from benchmarks.workload import MODEL, Workload, without_stops
from worker.engine.engine import Engine

METHODS = ("origin", "per_prompt", "avg", "max", "flex_attention")
FUSED = "flex_attention"
ALL = "all five"
SAMPLES, SWEEP_AT, BASE_SAMPLES = (8, 64, 512), 64, 16

VARIED = {
    "samples": (1, 2, 4, 8),
    "paraphrases": (1, 2, 3, 5),
    "few-shot": (0, 5, 10, 20),
    "tokens": (5, 10, 20, 40),
}
"""Option -> its values; samples are multiples of the base's."""

TITLES = {"tokens": "generated tokens"}

NOTES = (
    "prefill of machine: of the rate of a [4096, hidden] x [hidden, intermediate] product",
    "decode of machine: of the rate of the step's own products at as many rows; without early "
    "stop, since with it rows leave",
)


@dataclass(frozen=True)
class EngineCase:
    """One row: methods, a workload, and how many samples. title: `methods`, or what is varied."""

    title: str
    methods: tuple[str, ...]
    workload: Workload
    samples: int
    stops: bool = False
    value: int = 0


def _varied(context: click.Context, option: click.Parameter, names: str | None) -> list[str]:
    chosen = names.split(",") if names else []
    if unknown := [name for name in chosen if name not in VARIED]:
        raise click.BadParameter(f"{unknown[0]!r} is none of {', '.join(VARIED)}")
    return chosen


@click.command(cls=Benchmark)
@samples_option(
    None,
    MAX_SAMPLES,
    "Of flex_attention; repeat for several. With --vary those of the base, once.  "
    f"[default: {', '.join(map(str, SAMPLES))}; {BASE_SAMPLES} with --vary]",
    multiple=True,
)
@click.option(
    "--sweep-at",
    type=click.IntRange(1, MAX_SAMPLES),
    default=SWEEP_AT,
    show_default=True,
    help="Samples of the rows that compare methods and layouts.",
)
@click.option(
    "--vary",
    callback=_varied,
    metavar="NAME,...",
    help=f"Vary {', '.join(VARIED)} one at a time, instead of comparing methods and layouts.",
)
@repeats_option
@model_option(MODEL)
def main(
    samples: tuple[int, ...], sweep_at: int, vary: list[str], repeats: int, model: str
) -> None:
    """Each method alone, the five in one pass, and both layouts; early stop off and on."""
    workload = Workload(model=model)
    if vary:
        show_varied(workload, vary, base_samples(samples, vary), RepeatLimit(repeats))
    else:
        show_methods(workload, samples or SAMPLES, sweep_at, RepeatLimit(repeats, seconds=5.0))


def base_samples(samples: tuple[int, ...], vary: list[str]) -> int:
    """Samples of the base. Raises click.UsageError for several counts, or too large a count."""
    if len(samples) > 1:
        raise click.UsageError("--vary has one base; give --samples once")
    (count,) = samples or (BASE_SAMPLES,)
    times = max(VARIED["samples"])
    if "samples" in vary and count * times > MAX_SAMPLES:
        raise click.UsageError(
            f"--vary samples asks up to {times} times --samples; at most {MAX_SAMPLES // times}"
        )
    return count


def show_methods(
    workload: Workload, samples: tuple[int, ...], sweep_at: int, limit: RepeatLimit
) -> None:
    """Measure and print the rows that compare methods, layouts and numbers of samples."""
    loaded = workload.loaded_engine()
    benchmark = EngineBenchmark(loaded.engine, limit)
    rows = [benchmark.row(case) for case in cases(workload, samples, sweep_at)]
    rate = {"matmul GFLOP/s": benchmark.prefill_rate / 1e9}
    claim = (
        f"{workload.model}: {workload.paraphrases} paraphrases, {workload.examples} examples, "
        f"{workload.max_new_tokens} tokens"
    )
    machine = {**describe_torch(), **loaded.choices, **rate}
    seeds = {"questions": SEED, "matrices": RATES_SEED}
    BenchmarkReport(claim, machine, seeds, rows, ratios(rows, sweep_at), NOTES).show()


def show_varied(base: Workload, vary: list[str], samples: int, limit: RepeatLimit) -> None:
    """Measure and print the rows that vary one thing at a time, early stop off."""
    loaded = base.loaded_engine()
    benchmark = EngineBenchmark(loaded.engine, limit)
    rows = [benchmark.varied_row(case) for case in varied_cases(base, vary, samples)]
    claim = (
        f"{base.model}, {FUSED}, early stop off; base: {samples} samples, {base.paraphrases} "
        f"paraphrases, {base.examples} few-shot, {base.max_new_tokens} tokens"
    )
    machine = {**describe_torch(), **loaded.choices}
    BenchmarkReport(claim, machine, {"questions": SEED}, rows, varied_ratios(rows)).show()


def cases(workload: Workload, samples: tuple[int, ...], sweep_at: int) -> Iterator[EngineCase]:
    """Yield every method at one count, and flex_attention at every count."""
    shared = replace(workload, layout="shared")
    for stops in (False, True):
        for method in METHODS:
            yield EngineCase(method, (method,), workload, sweep_at, stops)
        yield EngineCase(ALL, METHODS, workload, sweep_at, stops)
        yield EngineCase(FUSED, (FUSED,), shared, sweep_at, stops)
        for count in sorted(set(samples) - {sweep_at}):
            yield EngineCase(FUSED, (FUSED,), workload, count, stops)


def varied_cases(base: Workload, vary: list[str], samples: int) -> Iterator[EngineCase]:
    """Yield flex_attention at every value of each thing varied, the rest as in the base."""
    for name in vary:
        for value in VARIED[name]:
            workload, count = base, samples
            if name == "samples":
                count = value = value * samples
            elif name == "paraphrases":
                workload = replace(base, paraphrases=value)
            elif name == "few-shot":
                workload = replace(base, examples=value)
            else:
                workload = replace(base, max_new_tokens=value)
            yield EngineCase(TITLES.get(name, name), (FUSED,), workload, count, value=value)


class EngineBenchmark:
    """Measures cases with one engine, beside the rates of its machine."""

    def __init__(self, engine: Engine, limit: RepeatLimit) -> None:
        self._engine, self._limit = engine, limit

    @cached_property
    def prefill_rate(self) -> float:
        """FLOP/s of this machine at the sizes of prefill."""
        model = self._engine.model
        return prefill_rate(model.config, model.dtype, model.device)

    @cached_property
    def _shapes(self) -> LinearShapes:
        return LinearShapes.of(self._engine.model.config)

    def row(self, case: EngineCase) -> BenchmarkRow:
        """Measure a case of `cases`."""
        # Before the case: it takes memory and time.
        machine_rate = self.prefill_rate
        reset_peak()
        measured = self._answers(case)
        peak, stats = peak_mib(), measured.stats
        prefill = stats.prefill_tokens / stats.prefill_seconds
        return {
            "methods": case.title,
            "layout": case.workload.layout,
            "early stop": "on" if case.stops else "off",
            "samples": case.samples,
            "seconds": measured.seconds,
            "questions/s": case.samples / measured.seconds,
            "prefill tokens/s": prefill,
            "prefill of machine": prefill * self._shapes.prefill_flops / machine_rate,
            "decode tokens/s": stats.decode_tokens / stats.decode_seconds,
            "decode of machine": None if case.stops else self._decode_share(case, measured),
            "peak MiB": peak,
            "repeats": measured.time.repeats,
        }

    def varied_row(self, case: EngineCase) -> BenchmarkRow:
        """Measure a case of `varied_cases`."""
        measured = self._answers(case)
        return {
            "varied": case.title,
            "value": case.value,
            "seconds": measured.seconds,
            "prefill s": measured.stats.prefill_seconds,
            "decode s": measured.stats.decode_seconds,
            "prefill tokens": measured.stats.prefill_tokens,
            "decode tokens": measured.stats.decode_tokens,
            "repeats": measured.time.repeats,
        }

    def _answers(self, case: EngineCase) -> TimedAnswers:
        questions = case.workload.questions(case.samples)
        request = case.workload.request(*case.methods)
        asked = request if case.stops else without_stops(request)
        return time_answers(self._engine, questions, asked, self._limit)

    def _decode_share(self, case: EngineCase, measured: TimedAnswers) -> float:
        """Seconds of the products of all steps alone, over the seconds of decoding."""
        steps = case.workload.max_new_tokens
        model, rows = self._engine.model, measured.stats.decode_tokens // steps
        alone = decode_seconds(self._shapes, rows, model.dtype, model.device)
        return steps * alone / measured.stats.decode_seconds


def ratios(rows: list[BenchmarkRow], sweep_at: int) -> dict[str, float]:
    """Ratios of seconds, at the count of the sweep."""
    columns = ("methods", "layout", "early stop", "samples")
    seconds = {tuple(row[name] for name in columns): row["seconds"] for row in rows}
    by_name = {}
    for stop in ("off", "on"):
        concat = seconds[FUSED, "concat", stop, sweep_at]
        shared = seconds[FUSED, "shared", stop, sweep_at]
        every = seconds[ALL, "concat", stop, sweep_at]
        by_name[f"all five over flex_attention alone, early stop {stop}"] = every / concat
        by_name[f"concat over shared, early stop {stop}"] = concat / shared
    return by_name


def varied_ratios(rows: list[BenchmarkRow]) -> dict[str, float]:
    """Seconds of the largest value over those of the smallest, for each thing varied."""
    by_name = {}
    for title in dict.fromkeys(row["varied"] for row in rows):
        first, *_, last = (row for row in rows if row["varied"] == title)
        name = f"time from {first['value']} to {last['value']} {title}"
        by_name[name] = last["seconds"] / first["seconds"]
    return by_name


if __name__ == "__main__":
    main()
