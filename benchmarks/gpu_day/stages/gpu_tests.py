"""The tests that need a GPU, run by pytest."""

import os
import re
import subprocess
import sys
from pathlib import Path

from benchmarks.gpu_day.stages.bench import Bench
from benchmarks.gpu_day.stages.rows import Figures, Rows

_TESTS = Path(__file__).parents[3] / "tests" / "gpu"
_COUNT = re.compile(r"(\d+) (passed|failed|skipped|errors?)")


def gpu_tests(bench: Bench, rows: Rows) -> None:
    """Run tests/gpu; a failing test makes the row's `equal` false."""
    rows.measure("pytest", 85, _run, bench.device.type)


def _run(device: str) -> Figures:
    # Without the fixtures of `tests`, which need a broker that a lent machine lacks.
    command = [
        sys.executable, "-m", "pytest", str(_TESTS), "--confcutdir", str(_TESTS),
        "-q", "-p", "no:cacheprovider",
    ]  # fmt: skip
    environment = {**os.environ, "GPU_TESTS_DEVICE": device}
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    counts = {kind: int(number) for number, kind in _COUNT.findall(result.stdout)}
    failures = [
        line for line in result.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))
    ]
    if not counts:
        raise RuntimeError((result.stdout + result.stderr)[-400:])
    return {"equal": result.returncode == 0, **counts, "failures": failures}
