"""Show a report in the terminal: tables, then sentences.

Only the page and the JSON document have the table of questions.
"""

from collections.abc import Iterator, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from producer.report.document import Comparison, Document, ParaphraseReport, RunReport
from producer.report.formatting import (
    RunNames,
    p_value,
    percent,
    percent_interval,
    points_interval,
    short_names,
)
from producer.report.sentences import failures, verdicts

_METRICS = {"exact": "exact match", "lemma": "lemma match"}


def print_document(document: Document, console: Console) -> None:
    """Print the document. Data goes through Text, because rich reads [brackets] as markup."""
    names = short_names([run.run for run in document.runs])
    console.print(Text(document.title, style="bold"))
    for table in _tables(document, names):
        console.print(table)
    sentences = (
        *verdicts(document.comparisons, names),
        *failures(document, names),
        *document.notes,
    )
    for sentence in sentences:
        console.print(Text(f"- {sentence}"))


def _tables(document: Document, names: RunNames) -> Iterator[Table]:
    yield _runs(document, names)
    if document.comparisons:
        yield _comparisons(document.comparisons, names)
    for paraphrase in document.paraphrases:
        yield _paraphrases(paraphrase, names)
        if len(paraphrase.by_count) > 1:
            yield _counts(paraphrase, names)


def _table(title: str, *headings: str) -> Table:
    table = Table(title=Text(title), title_justify="left", box=SIMPLE_HEAD)
    for i, heading in enumerate(headings):
        # Folded, never cut: half an interval is a wrong number.
        table.add_column(heading, justify="right" if i else "left", overflow="fold")
    return table


def _runs(document: Document, names: RunNames) -> Table:
    metric = _METRICS[document.metric]
    headings = "n", "failed", metric, "F1", "tokens", "seconds", "n/s"
    table = _table("Runs: n questions; [95 % interval]", "run", *headings)
    for run in document.runs:
        table.add_row(*map(Text, (names[run.run], *_run(run))))
    return table


def _run(run: RunReport) -> Iterator[str]:
    yield from (
        str(run.questions),
        str(run.failed),
        percent_interval(run.accuracy),
        percent(run.f1.value),
    )
    yield str(run.tokens)
    yield "-" if run.seconds is None else f"{run.seconds:.1f}"
    yield "-" if run.questions_per_second is None else f"{run.questions_per_second:.1f}"


def _comparisons(comparisons: Sequence[Comparison], names: RunNames) -> Table:
    headings = "points", "win/loss/tie", "p", "p (Holm)", "detectable"
    table = _table("Differences of accuracy; [95 % interval]", "run - other", *headings)
    for c in comparisons:
        cells = (
            f"{names[c.run]} - {names[c.other]}",
            points_interval(c.difference),
            f"{c.wins}/{c.losses}/{c.ties}",
            p_value(c.p_value),
            p_value(c.p_adjusted),
            f"{100 * c.minimum_detectable:.1f}",
        )
        table.add_row(*map(Text, cells))
    return table


def _paraphrases(report: ParaphraseReport, names: RunNames) -> Table:
    table = _table(f"Single paraphrases, stored by {names[report.run]}", "answers", "accuracy")
    for number, accuracy in enumerate(report.by_paraphrase):
        table.add_row(f"paraphrase {number}", Text(percent_interval(accuracy)))
    table.add_section()
    for name, share in (("best", report.best), ("mean", report.mean), ("worst", report.worst)):
        table.add_row(name, percent(share))
    for name, interval in (
        ("majority vote", report.majority),
        ("oracle: some paraphrase is right", report.oracle),
        ("consistency: pairs that agree", report.consistency),
    ):
        table.add_row(name, Text(percent_interval(interval)))
    return table


def _counts(report: ParaphraseReport, names: RunNames) -> Table:
    title = f"By number of paraphrases, stored by {names[report.run]}"
    table = _table(title, "K", "single", "majority vote", "oracle")
    for point in report.by_count:
        cells = (
            percent(point.mean_single),
            percent_interval(point.majority),
            percent_interval(point.oracle),
        )
        table.add_row(str(point.paraphrases), *map(Text, cells))
    return table
