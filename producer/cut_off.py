"""Answers that were cut off: they ended at the limit of tokens, `finish_reason` is `length`."""

from collections.abc import Sequence

from common.counted import counted
from common.store import RunFolder


def cut_off_sentence(cut_off: int, rows: int, limit: int) -> str:
    """Say how many rows were cut off, and what to do.

    >>> cut_off_sentence(3, 200, 20)
    '3 of 200 answers were cut off at 20 tokens (length); a larger --max-new-tokens lets them end'
    """
    return (
        f"{cut_off:,} of {counted(rows, 'answer')} {'was' if cut_off == 1 else 'were'} cut off at "
        f"{counted(limit, 'token')} (length); a larger --max-new-tokens lets them end"
    )


def cut_off_lines(runs: Sequence[RunFolder]) -> list[str]:
    """A line for each merged run that has rows which were cut off."""
    lines = []
    for run in runs:
        cut_off = rows = 0
        for batch in run.batches(["finish_reason"]):
            rows += len(batch)
            cut_off += batch["finish_reason"].to_pylist().count("length")
        if cut_off:
            lines.append(f"{run.key}: {cut_off_sentence(cut_off, rows, run.spec.max_new_tokens)}")
    return lines
