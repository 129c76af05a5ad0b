"""The report of a benchmark: a table for people, then one JSON document as the last line.

Imports nothing heavy: the queue is measured without torch.
"""

import json
import os
import platform
import shlex
import sys
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

BenchmarkRow = dict[str, Any]
"""Column -> value."""

VERSIONS = ("torch", "transformers", "celery", "redis", "pyarrow", "self-ensemble")


@dataclass(frozen=True)
class BenchmarkReport:
    """The rows of one claim, all with the same columns.

    seeds: what was drawn -> its seed. ratios: between rows of this run. notes: how to read them.
    """

    claim: str
    machine: BenchmarkRow
    seeds: dict[str, int]
    rows: list[BenchmarkRow]
    ratios: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def show(self) -> None:
        """Print the claim, machine, table, ratios, notes and JSON document."""
        # Without a terminal rich assumes a narrow one, and would cut figures off.
        console = Console(width=None if sys.stdout.isatty() else 150)
        console.print(self.claim, highlight=False)
        console.print(", ".join(f"{k} {v}" for k, v in self.machine.items()), highlight=False)
        console.print(self._table())
        for line in (*(f"{k}: {v:.2f}x" for k, v in self.ratios.items()), *self.notes):
            console.print(line, highlight=False, markup=False)
        print(json.dumps(self.document()))

    def document(self) -> BenchmarkRow:
        """The report as JSON-able data."""
        return {
            "claim": self.claim,
            "command": shlex.join(["python", *sys.orig_argv[1:]]),
            "machine": self.machine,
            "seeds": self.seeds,
            "rows": self.rows,
            "ratios": self.ratios,
            "notes": list(self.notes),
        }

    def _table(self) -> Table:
        table = Table()
        for name, value in self.rows[0].items():
            table.add_column(name, justify="left" if isinstance(value, str) else "right")
        for row in self.rows:
            table.add_row(*(_cell(value) for value in row.values()))
        return table


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.3g}" if abs(value) < 100 else f"{value:,.0f}"
    return "-" if value is None else str(value)


def describe_machine() -> dict[str, Any]:
    """Processor, memory and versions, as JSON-able data."""
    return {
        "processor": _field("/proc/cpuinfo", "model name") or platform.processor() or "unknown",
        "cores": _cores(),
        "bfloat16 instructions": "bf16" in (_field("/proc/cpuinfo", "flags") or ""),
        "memory GiB": _memory_gib(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        **{name: _version(name) for name in VERSIONS},
    }


def describe_torch() -> dict[str, Any]:
    """Processor, memory and versions, the threads of torch and the name of its GPU."""
    import torch

    gpu = {"GPU": torch.cuda.get_device_name()} if torch.cuda.is_available() else {}
    return {**describe_machine(), "threads": torch.get_num_threads(), **gpu}


def _cores() -> int | None:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _field(path: str, name: str) -> str | None:
    """First value of a field in a file of `name : value` lines; None if there is none."""
    file = Path(path)
    lines = file.read_text().splitlines() if file.exists() else []
    values = (line.partition(":")[2].strip() for line in lines if line.startswith(name))
    return next(values, None)


def _memory_gib() -> float | None:
    total = _field("/proc/meminfo", "MemTotal")
    return round(int(total.split()[0]) / 2**20, 1) if total else None


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
