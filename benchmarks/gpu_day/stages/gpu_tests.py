"""The tests that need a GPU, run by pytest where it is installed."""

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
    """Run tests/gpu; a test that fails makes the row's `equal` false."""
    rows.measure("pytest", 85, _run, bench.device.type)


def _run(device: str) -> Figures:
    # Without the fixtures of `tests`: those need a broker, which a lent machine has not.
    command = [
        sys.executable, "-m", "pytest", str(_TESTS), "--confcutdir", str(_TESTS),
        "-q", "-p", "no:cacheprovider",
    ]  # fmt: skip
    environment = {**os.environ, "GPU_TESTS_DEVICE": device}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    counts = {kind: int(number) for number, kind in _COUNT.findall(done.stdout)}
    failures = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    if not counts:
        raise RuntimeError((done.stdout + done.stderr)[-400:])
    return {"equal": done.returncode == 0, **counts, "failures": failures}
