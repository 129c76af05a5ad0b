"""What a benchmark prints: a table for people, then one JSON document in the last line."""

import json
import shlex
import sys
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table

Row = dict[str, Any]


@dataclass(frozen=True)
class Outcome:
    """The rows of one claim, all with the same columns.

    seeds: of everything drawn. ratios: between rows of this run. notes: how to read it.
    """

    claim: str
    machine: Row
    seeds: dict[str, int]
    rows: list[Row]
    ratios: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def show(self) -> None:
        """Print all of it."""
        # What is not a terminal has no width, and would cut the figures off.
        console = Console(width=None if sys.stdout.isatty() else 150)
        console.print(self.claim, highlight=False)
        console.print(", ".join(f"{k} {v}" for k, v in self.machine.items()), highlight=False)
        console.print(self._table())
        for line in (*(f"{k}: {v:.2f}x" for k, v in self.ratios.items()), *self.notes):
            console.print(line, highlight=False, markup=False)
        print(json.dumps(self.document()))

    def document(self) -> Row:
        """The same for programs."""
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
