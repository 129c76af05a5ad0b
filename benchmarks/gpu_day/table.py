"""The table of a GPU day: measured figures beside the predicted ones, and what went wrong."""

import sys
from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.gpu_day.lines import Line
from benchmarks.gpu_day.plan import PREDICTIONS

EQUAL, UNEQUAL, FAILED = 0, 1, 3
"""Exit statuses; 2 is click's own."""

_HIDDEN = (dict, list, tuple)
"""Figures of these types are details: they are in the lines, but not in the table."""


def show(lines: Sequence[Line]) -> None:
    """Print the table and the verdict. A tiny run has no predictions."""
    console = Console(width=None if sys.stdout.isatty() else 150)
    tiny = any(line.get("tiny") for line in lines)
    table = Table("stage", "row", "measured", "predicted", "s")
    for stage, row, measured, took in table_rows(lines):
        predicted = "" if tiny else PREDICTIONS.get((stage, row), "")
        table.add_row(stage, row, measured, predicted, took)
    console.print(table)
    console.print(verdict(lines), highlight=False, markup=False)


def table_rows(lines: Sequence[Line]) -> Iterator[tuple[str, str, str, str]]:
    """Yield stage, row, measured and seconds of each row and of each stage that failed."""
    for line in lines:
        if measured := _measured(line):
            took = f"{line['took']:.1f}" if "took" in line else ""
            yield line["stage"], line.get("row", ""), measured, took


def _measured(line: Line) -> str | None:
    """Cell for a line; None if the line is no result."""
    if "figures" in line:
        return _figures(line["figures"]) or "done"
    if "failed" in line:
        return f"failed: {line['failed']}"
    if "skipped" in line:
        return f"left out: {line['skipped']}"
    if line.get("event") in ("died", "killed", "not run"):
        return f"{line['event']}: {line['reason']}"
    return None


def described(line: Line) -> str | None:
    """A line as text for the console; None if the line is no result."""
    measured = _measured(line)
    where = ", ".join(filter(None, (line["stage"], line.get("row"))))
    return measured and f"{line['t']:6.1f} s  {where}: {measured}"


def _figures(figures: dict[str, Any]) -> str:
    shown = ((name, value) for name, value in figures.items() if not isinstance(value, _HIDDEN))
    return ", ".join(f"{name} {_cell(value)}" for name, value in shown)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    return "-" if value is None else str(value)


def unequal(lines: Sequence[Line]) -> list[str]:
    """Checks whose answers differ from the reference."""
    checked = [line for line in lines if "equal" in line.get("figures", {})]
    return [f"{line['stage']}: {line['row']}" for line in checked if not line["figures"]["equal"]]


def failed(lines: Sequence[Line]) -> list[str]:
    """Rows and stages without a result."""
    bad = [line for line in lines if "failed" in line or line.get("event") in ("died", "killed")]
    return [": ".join(filter(None, (line["stage"], line.get("row")))) for line in bad]


def status(lines: Sequence[Line]) -> int:
    """Exit status: UNEQUAL if a check is, else FAILED if a result is missing, else EQUAL."""
    if unequal(lines):
        return UNEQUAL
    return FAILED if failed(lines) else EQUAL


def verdict(lines: Sequence[Line]) -> str:
    """Verdict on all lines, in one line of text."""
    checks, without = unequal(lines), failed(lines)
    parts = [
        f"NOT EQUAL to the reference: {'; '.join(checks)}" if checks else "",
        f"without a result: {'; '.join(without)}" if without else "",
    ]
    return ". ".join(filter(None, parts)) or "every check is equal and every row has its figures"
