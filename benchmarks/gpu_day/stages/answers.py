"""Rows of the engine: questions per second, and where the seconds went."""

from collections.abc import Sequence
from dataclasses import replace

from benchmarks.gpu_day.stages.bench import Bench
from benchmarks.gpu_day.stages.rows import Figures
from benchmarks.measure import RepeatLimit, time_answers
from benchmarks.roofline import LinearShapes, Machine, StepWork
from benchmarks.timed_engine import TimedEngine
from benchmarks.workload import without_stops
from common.records import Sample
from common.run import Layout

_LIMIT = RepeatLimit(repeats=3, seconds=30.0)


def answer_row(
    bench: Bench,
    engine: TimedEngine,
    machine: Machine,
    methods: Sequence[str],
    questions: Sequence[Sample],
    warm_up: int,
    layout: Layout = "concat",
) -> Figures:
    """Answer questions; return questions per second and the seconds of device and host.

    host launching: inside the model's calls, mostly hidden while the device is behind. host
    between: planning, packing, sampling and waiting. prefill of machine, decode of floor: shares
    of the measured rates, by the device's seconds alone.
    """
    bench.begin_peak()
    request = without_stops(replace(bench.workload, layout=layout).request(*methods))
    engine.run(questions[:warm_up], request)
    engine.clock.take()
    measured = time_answers(engine, questions, request, _LIMIT, warm_up=0)
    model, stats = engine.clock.take(), measured.stats
    prefill, decode = (
        calls.device / measured.time.repeats for calls in (model.prefill, model.decode)
    )
    launching = (model.prefill.host + model.decode.host) / measured.time.repeats
    flops = stats.prefill_tokens * LinearShapes.of(bench.config).prefill_flops
    work = StepWork.of(bench.config, engine.model.dtype)
    return {
        "questions/s": len(questions) / measured.seconds,
        "s": measured.seconds,
        "prefill device s": prefill,
        "decode device s": decode,
        "host launching s": launching,
        "host between s": measured.seconds - launching,
        "prefill of machine": flops / prefill / machine.multiplied,
        "decode of floor": machine.floor_seconds(work, engine.decodings(stats)) / decode,
        "peak GiB": bench.peak_gib(),
        "details": {
            "prefill tokens": stats.prefill_tokens,
            "decode tokens": stats.decode_tokens,
            "model calls": [model.prefill.calls, model.decode.calls],
            "repeats": measured.time.repeats,
            "pack tokens": engine.budget.pack_tokens,
            "cache bytes": engine.budget.cache_bytes,
        },
    }
