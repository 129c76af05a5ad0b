"""Runs as tables and lines for the terminal, and as documents for scripts."""

from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow.compute as pc
from rich.table import Table
from rich.text import Text

from common.answer_text import exact_match
from common.methods import CONFIDENCE, PARAPHRASES
from common.run import RunKey
from common.run_state import RunState
from common.store import PartInfo, Progress, RunFolder, StoreFilesystem
from common.store.parts import read_infos
from producer.pace import Pace

MOST_COLUMNS = 4
"""Methods shown side by side; more than these are listed below each other."""


def state_document(state: RunState, store: StoreFilesystem) -> dict[str, Any]:
    """State and progress of a run as a JSON object; `rate` in samples per second.

    answering: samples that are answered in shards at work, and in no part yet; null if the broker
    does not answer. stopped: since when (seconds since the epoch), why, and by which worker.
    """
    document: dict[str, Any] = {"run": state.key, "state": state.name, "why": state.sentence()}
    document["stopped"] = state.stop.model_dump() if state.stop else None
    if state.after is not None:
        document["after"] = state.after
    if state.progress is not None:
        document |= _progress_document(state, state.progress)
        feather = RunFolder(store, RunKey.parse(state.key)).feather_path
        document["feather"] = feather if state.progress.merged else None
    return document


def _progress_document(state: RunState, progress: Progress) -> dict[str, Any]:
    return {
        "expected": progress.expected,
        "ok": progress.ok,
        "failed": progress.failed,
        "missing": progress.missing,
        "answering": None if state.activity is None else state.answering,
        "again": progress.again,
        "rate": progress.rate,
        "seconds_left": progress.seconds_left,
    }


def states_table(states: Iterable[RunState], pace: Pace | None = None) -> Table:
    """State and progress of runs, one line per run.

    pace: that of the one run that is watched, which tells its rate and the time that is left.
    """
    table = Table()
    for heading in ("run", "state", "expected", "ok", "failed", "missing", "rate", "ETA"):
        is_text = heading in ("run", "state")
        table.add_column(heading, justify="left" if is_text else "right", overflow="fold")
    for state in states:
        counts = ["-"] * 6 if state.progress is None else _counts(state, state.progress, pace)
        again = (
            f", {state.progress.again} again" if state.progress and state.progress.again else ""
        )
        table.add_row(state.key, state.name + again, *counts)
    return table


def _counts(state: RunState, p: Progress, pace: Pace | None) -> list[str]:
    rate, left = p.rate, p.seconds_left
    if pace is not None and pace.rate is not None:
        rate, left = pace.rate, pace.seconds_left(p.missing - state.answering)
    answering = f"+{state.answering}" if state.answering else ""
    counts = [str(p.expected), f"{p.ok}{answering}", str(p.failed), str(p.missing)]
    if state.ends_waiting:
        left = None
    shown_left = f"{left:.0f} s" if p.missing and left is not None else "-"
    return [*counts, f"{rate:.1f}/s" if rate else "-", shown_left]


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
