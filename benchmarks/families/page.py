"""The tables of docs/models.md."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from benchmarks.families.survey import Surveyed
from benchmarks.families.verdict import Kind

MARK = "<!-- All below is written by `python -m benchmarks.families --write docs/models.md`. -->"

_SECTIONS: dict[Kind, str] = {
    "exact": "Answered exactly",
    "refused": "Refused",
    "not built": "Not built",
    "error": "Ended in an exception",
    "wrong": "Answered wrongly",
}


def write_page(path: Path, surveyed: Sequence[Surveyed], versions: str) -> None:
    """Replace everything after the mark of a page with the tables.

    Raises OSError if the page holds no mark.
    """
    head, mark, _ = path.read_text(encoding="utf-8").partition(MARK)
    if not mark:
        raise OSError(f"{path} holds no line {MARK!r}, behind which the tables would go")
    tables = "\n".join(_tables(surveyed, versions))
    path.write_text(f"{head}{mark}\n\n{tables}\n", encoding="utf-8")


def _tables(surveyed: Sequence[Surveyed], versions: str) -> Iterator[str]:
    families = [each for each in surveyed if not each.variant]
    variants = [each for each in surveyed if each.variant]
    yield f"{versions}: {_counts(families)}."
    for kind, title in _SECTIONS.items():
        of_kind = [each for each in families if each.verdict.kind == kind]
        if of_kind:
            yield from ("", f"## {title}", "", *_families(kind, of_kind))
    yield from ("", "## Variants", "")
    yield from markdown_table(
        ("variant of", "with", "verdict", "reason"),
        ((f"{v.family}", v.variant, v.verdict.kind, v.verdict.text) for v in variants),
    )


def _families(kind: Kind, of_kind: Sequence[Surveyed]) -> Iterator[str]:
    """Table with one row per family; verdicts other than exact have a reason."""
    titles = ("family", "class") if kind == "exact" else ("family", "class", "reason")
    rows = ((f"`{each.family}`", each.class_name, each.verdict.text) for each in of_kind)
    return markdown_table(titles, (row[: len(titles)] for row in rows))


def _counts(families: Sequence[Surveyed]) -> str:
    kinds = [each.verdict.kind for each in families]
    counts = (f"{kinds.count(kind)} {kind}" for kind in _SECTIONS if kind in kinds)
    return f"{len(families)} families, {', '.join(counts)}"


def markdown_table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a table; a `|` inside a cell becomes a `/`."""
    yield f"| {' | '.join(titles)} |"
    yield f"|{'---|' * len(titles)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', '/') for cell in row)} |"
