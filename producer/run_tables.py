"""Runs as tables and lines for the terminal, and as documents for scripts."""

from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow.compute as pc
from rich.table import Table
from rich.text import Text

from common.answer_text import exact_match
from common.methods import CONFIDENCE, PARAPHRASES
from common.store import PartInfo, Progress, RunFolder
from common.store.parts import read_infos

MOST_COLUMNS = 4
"""Methods shown side by side; more than these are listed below each other."""


def progress_document(run: RunFolder, progress: Progress) -> dict[str, Any]:
    """Progress of a run as a JSON object; `rate` in samples per second."""
    return {
        "run": str(run.key),
        "state": progress.state,
        "expected": progress.expected,
        "ok": progress.ok,
        "failed": progress.failed,
        "missing": progress.missing,
        "again": progress.again,
        "rate": progress.rate,
        "seconds_left": progress.seconds_left,
        "feather": run.feather_path if progress.merged else None,
    }


def progress_table(rows: Iterable[tuple[RunFolder, Progress]]) -> Table:
    """Progress of runs, one line per run."""
    table = Table()
    for heading in ("run", "state", "expected", "ok", "failed", "missing", "rate", "ETA"):
        is_text = heading in ("run", "state")
        table.add_column(heading, justify="left" if is_text else "right", overflow="fold")
    for run, p in rows:
        rate = f"{p.rate:.1f}/s" if p.rate else "-"
        left = f"{p.seconds_left:.0f} s" if p.missing and p.seconds_left is not None else "-"
        counts = [str(n) for n in (p.expected, p.ok, p.failed, p.missing)]
        state = f"{p.state}, {p.again} again" if p.again else p.state
        table.add_row(str(run.key), state, *counts, rate, left)
    return table


def results_table(runs: Sequence[RunFolder]) -> Table:
    """Accuracy and speed of merged runs. Runs of the same shards share their seconds."""
    table = Table(
        caption="exact: exact match with any alias. Speeds are of the shards, which all methods "
        "requested together share; prefill and decode in tokens/s."
    )
    table.add_column("run", overflow="fold")
    for heading in ("rows", "failed", "exact", "questions/s", "prefill", "decode"):
        table.add_column(heading, justify="right", no_wrap=True)
    for run in runs:
        rows, failed, right = _count_right(run)
        speeds = _speeds(list(read_infos(run)))
        accuracy = f"{100 * right / rows:.1f} %" if rows else "-"
        table.add_row(run.key.name, str(rows), str(failed), accuracy, *speeds)
    return table


def _count_right(run: RunFolder) -> tuple[int, int, int]:
    """Count rows, failed rows, and rows whose prediction is right, batch by batch."""
    rows = failed = right = 0
    for batch in run.batches(["prediction", "answers", "error"]):
        for row in batch.to_pylist():
            rows += 1
            failed += row["error"] is not None
            right += exact_match(row["prediction"], row["answers"])
    return rows, failed, right


def _speeds(parts: Sequence[PartInfo]) -> list[str]:
    """Questions, prefill tokens and decode tokens per second, as text."""
    totals: dict[str, float] = {}
    for part in parts:
        for name, value in part.counts.items():
            totals[name] = totals.get(name, 0.0) + value
    seconds = totals.get("prefill_seconds", 0.0) + totals.get("decode_seconds", 0.0)
    if not seconds:
        return ["-", "-", "-"]
    prefill = totals["prefill_tokens"] / max(totals["prefill_seconds"], 1e-9)
    decode = totals["decode_tokens"] / max(totals["decode_seconds"], 1e-9)
    questions = sum(len(part.rows) for part in parts) / seconds
    return [f"{questions:.1f}", f"{prefill:.0f}", f"{decode:.0f}"]


def answers_table(runs: Sequence[RunFolder], count: int = 5) -> Table:
    """The first questions with their gold answers and the prediction of each method."""
    shown = [run for run in runs if not run.method.row_per_paraphrase] or list(runs[:1])
    names = ["gold", *(run.spec.method for run in shown)]
    many = len(shown) > MOST_COLUMNS
    table = Table(title=f"the first {count} questions", show_lines=many)
    for heading in ("question", "answers") if many else ("question", *names):
        table.add_column(heading)
    columns = [_first_rows(run, count) for run in shown]
    for rows in zip(*columns, strict=False):
        predictions = [_shown(row["prediction"], row["error"]) for row in rows]
        answers = [" | ".join(rows[0]["answers"][:2]), *predictions]
        if many:
            pairs = zip(names, answers, strict=True)
            answers = ["\n".join(f"{name}: {answer}" for name, answer in pairs)]
        # Text, not str: square brackets in a model's output are not markup.
        table.add_row(*(Text(cell) for cell in (rows[0]["paraphrases"][0], *answers)))
    return table


def _shown(prediction: str | None, error: str | None) -> str:
    return prediction or (f"[failed: {error}]" if error else "[empty]")


def _first_rows(run: RunFolder, count: int) -> list[dict[str, Any]]:
    first = next(run.batches(), None)
    return [] if first is None else first.slice(0, count).to_pylist()


def steps_lines(runs: Sequence[RunFolder]) -> list[str]:
    """One line for each step among the runs: paraphrases written, or the mean confidence."""
    lines = []
    for run in runs:
        if run.method == PARAPHRASES:
            problems = run.read_result(["problems"])["problems"].to_pylist()
            written = sum(len(row) - 1 for row in problems if row is not None)
            bad = sum(p is not None for row in problems for p in row or ())
            lines.append(
                f"{run.key}: {len(problems)} questions, {written} paraphrases "
                f"written, {bad} of them not good after all draws (column `problems`)"
            )
        elif run.method == CONFIDENCE:
            mean = pc.mean(run.read_result(["confidence"])["confidence"]).as_py()
            text = "no confidence was found" if mean is None else f"mean confidence {mean:.2f}"
            lines.append(f"{run.key}: {text}")
    return lines


def choices_lines(runs: Sequence[RunFolder]) -> list[str]:
    """One line for each setting that workers resolved, such as dtype, with its reason."""
    lines: dict[str, None] = {}
    for run in runs:
        for info in read_infos(run):
            for name, choice in info.choices.items():
                lines[f"{name}: {choice} ({info.reasons.get(name, 'no reason given')})"] = None
    return list(lines)
