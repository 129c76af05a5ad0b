"""A decode step, launched kernel by kernel and replayed as a CUDA graph."""

from collections.abc import Callable
from dataclasses import replace

from torch import Tensor

from benchmarks.gpu_day.stages.bench import Bench
from benchmarks.gpu_day.stages.engines import build_engine
from benchmarks.gpu_day.stages.rows import Figures, Rows
from benchmarks.gpu_day.stages.step import SteppingEngine, captured, repeatable_step
from worker.engine.decode_bucket import DecodeBucket

_CASES = (("flex_attention", 64), ("per_prompt", 64), ("flex_attention", 1024))
"""Method and number of questions: 64, 320 and 1,024 rows."""

_ROWS = {"flex_attention": 1, "per_prompt": 5}
_STEPS, _REPLAYS = 10, 20


def graphs(bench: Bench, rows: Rows) -> None:
    """Measure eager code first: compiled code is one more reason for a capture to fail."""
    model = rows.build("model", 30, bench.make_model)
    if model is None:
        return
    for name in ("eager", "compiled") if bench.on_gpu else ("eager",):
        engine = rows.build(
            f"engine, {name}", 60,
            build_engine, SteppingEngine, model, bench.tokenizer, "cascade", name == "compiled",
        )  # fmt: skip
        if engine is None:
            continue
        for method, count in _CASES:
            row = f"step, {name}, {count * _ROWS[method]} rows"
            rows.measure(row, 40, _step, bench, engine, method, count)

    if not bench.on_gpu:
        rows.skip("engine, compiled", "a CPU has no graphs; compiling would take a minute")


def _step(bench: Bench, engine: SteppingEngine, method: str, count: int) -> Figures:
    figures: Figures = {}

    def measure(bucket: DecodeBucket) -> None:
        step = repeatable_step(engine.runner, bucket)
        figures.update(rows=bucket.num_rows, **_times(bench, step))

    engine.on_bucket = measure
    # Two tokens: the steps after the timed one do not matter.
    request = replace(bench.workload, max_new_tokens=2).request(method)
    engine.run(bench.questions[:count], request)
    return figures


def _times(bench: Bench, step: Callable[[], Tensor]) -> Figures:
    host, all_of_it = bench.milliseconds(step, _STEPS)
    figures: Figures = {"host ms": host, "ms": all_of_it}
    if not bench.on_gpu:
        return {**figures, "as a graph ms": None, "graph": "a CPU has none"}
    wanted = step().clone()
    graph, logits = captured(step)
    _, replayed = bench.milliseconds(graph.replay, _REPLAYS)
    difference = float((logits - wanted).abs().max())
    return {**figures, "as a graph ms": replayed, "logit difference": difference}
