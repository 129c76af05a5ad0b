"""Totals of scored runs: means over their score columns, as a table and as documents."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow.compute as pc
from rich.table import Table

from common.store import RunFolder
from common.store.manifest import read_manifest


@dataclass(frozen=True)
class Scores:
    """The totals of a scored run.

    rows: one per question, or one per paraphrase for `per_prompt`. failed: rows with an error,
    which count as wrong. exact, f1, lemma: means over all rows, in [0, 1]; None without rows.
    partial: whether the run was merged while questions were missing. feather: path of the file.
    """

    run: str
    rows: int
    failed: int
    exact: float | None
    f1: float | None
    lemma: float | None
    partial: bool
    feather: str


def read_totals(run: RunFolder) -> Scores:
    """Add up the score columns of a scored file, batch by batch."""
    reader = run.store.open_arrow(run.feather)
    rows = failed = 0
    sums = {"correct_exact": 0.0, "correct_f1": 0.0, "correct_lemma": 0.0}
    for number in range(reader.num_record_batches):
        batch = reader.get_batch(number)
        rows += len(batch)
        failed += len(batch) - batch["error"].null_count
        for name in sums:
            sums[name] += pc.sum(batch[name]).as_py() or 0
    exact, f1, lemma = (total / rows if rows else None for total in sums.values())
    partial = read_manifest(run).partial
    return Scores(str(run.key), rows, failed, exact, f1, lemma, partial, run.feather_path)


def scores_document(scores: Iterable[Scores]) -> list[dict[str, Any]]:
    """The totals as JSON objects, one per run; shares in [0, 1]."""
    return [asdict(one) for one in scores]


def scores_table(scores: Iterable[Scores]) -> Table:
    """The totals as a table, one line per run; shares in per cent."""
    table = Table(
        caption="Means over rows, against the nearest alias; failed rows count as wrong. exact "
        "and F1: after SQuAD normalization. lemma: an answer's lemmas side by side in the "
        "prediction."
    )
    table.add_column("run", no_wrap=True)
    for heading in ("rows", "failed", "exact", "F1", "lemma"):
        table.add_column(heading, justify="right")
    for one in scores:
        rows = f"{one.rows} (partial)" if one.partial else str(one.rows)
        figures = (_per_cent(share) for share in (one.exact, one.f1, one.lemma))
        table.add_row(one.run, rows, str(one.failed), *figures)
    return table


def _per_cent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"
