"""A profile of one call: kernels and host operations by name, launches and synchronisations."""

from collections.abc import Sequence

from torch.profiler import ProfilerActivity, profile

from benchmarks.gpu_day.stages.bench import Bench
from benchmarks.gpu_day.stages.rows import Figures
from benchmarks.timed_engine import TimedEngine
from benchmarks.workload import without_stops
from common.records import Sample

_MOST = 25
_WAITS = ("Synchronize", "cudaMemcpy", "aten::item", "aten::nonzero")
"""Parts of the names of operations for which the host waits, or may wait."""


def profile_row(bench: Bench, engine: TimedEngine, questions: Sequence[Sample]) -> Figures:
    """Profile `flex_attention` on some questions, after answering them once."""
    kinds = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if bench.on_gpu else [])
    request = without_stops(bench.workload.request("flex_attention"))
    engine.run(questions, request)
    engine.clock.take()
    with profile(activities=kinds) as profiled:
        engine.run(questions, request)
        model = engine.clock.take()
    events = profiled.key_averages()
    device = [(e.key[:80], e.count, e.self_device_time_total / 1e3) for e in events]
    host = [(e.key[:80], e.count, e.self_cpu_time_total / 1e3) for e in events]
    waiting = [row for row in host if any(wait in row[0] for wait in _WAITS)]
    return {
        "questions": len(questions),
        "launches": sum(count for name, count, _ in host if "LaunchKernel" in name),
        "kernels ms": sum(ms for *_, ms in device),
        "prefill device ms": 1e3 * model.prefill.device,
        "decode device ms": 1e3 * model.decode.device,
        "waits": sum(count for _, count, _ in waiting),
        "by kernel": _longest(device),
        "by host operation": _longest(host),
        "waiting": waiting,
    }


def _longest(rows: Sequence[tuple[str, int, float]]) -> list[tuple[str, int, float]]:
    """Name, calls and milliseconds of the longest operations."""
    ordered = sorted(rows, key=lambda row: -row[2])[:_MOST]
    return [(name, count, round(ms, 3)) for name, count, ms in ordered if ms]
