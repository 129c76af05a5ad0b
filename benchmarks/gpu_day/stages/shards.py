"""Shard sizes: questions per second of each size, and the share of equal answers."""

import time

from benchmarks.gpu_day.stages.bench import Bench
from benchmarks.gpu_day.stages.engines import build_engine
from benchmarks.gpu_day.stages.rows import Figures, Rows
from benchmarks.workload import without_stops
from worker.engine.engine import Engine

_SIZES = (64, 256, 1024)
_TINY_SIZES = (6, 24)

AnswerTokens = list[tuple[int, ...]]


def shards(bench: Bench, rows: Rows) -> None:
    """Measure the eager engine: one compiled for other shapes could answer differently."""
    sizes = _TINY_SIZES if bench.tiny else _SIZES
    engine = rows.build("engine", 60, _engine, bench)
    if engine is None:
        return
    by_size: dict[int, AnswerTokens] = {}
    for size in sizes:
        rows.measure(f"calls of {size}", 40, _calls, bench, engine, size, sizes[-1], by_size)
    if {sizes[0], sizes[-1]} <= by_size.keys():
        rows.measure("answers equal", 5, _agreement, by_size[sizes[0]], by_size[sizes[-1]])


def _engine(bench: Bench) -> Engine:
    return build_engine(Engine, bench.make_model(), bench.tokenizer, "cascade", False)


def _calls(
    bench: Bench, engine: Engine, size: int, total: int, by_size: dict[int, AnswerTokens]
) -> Figures:
    questions = bench.questions[:total]
    request = without_stops(bench.workload.request("flex_attention"))
    engine.run(questions[:size], request)
    bench.synchronize()
    began = time.perf_counter()
    calls = [engine.run(questions[i : i + size], request) for i in range(0, total, size)]
    seconds = time.perf_counter() - began
    by_size[size] = [each["flex_attention"].tokens for call in calls for each in call.answers]
    return {"questions/s": len(questions) / seconds}


def _agreement(small: AnswerTokens, large: AnswerTokens) -> Figures:
    """Share of answers that are equal in calls of the smallest and of the largest size."""
    same = sum(one == other for one, other in zip(small, large, strict=True))
    return {"share": same / len(small), "answers": len(small)}
