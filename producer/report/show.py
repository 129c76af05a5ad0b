"""`producer report`: build the document, write the page, show the rest."""

import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from common.errors import UsageError
from common.store import RunFolder
from producer.report.answers import Metric
from producer.report.build import build_document
from producer.report.terminal import print_document
from producer.saving import save


def show_report(
    runs: Sequence[RunFolder],
    console: Console,
    html: Path | None,
    as_json: bool,
    common: bool,
    metric: Metric,
    seed: int,
) -> None:
    """Report the runs in the terminal or, with `as_json`, as one JSON document and nothing else.

    Raises UsageError for runs that cannot be compared or a page that cannot be written, before
    anything is written.
    """
    if html:
        _check_folder(html)
    document = build_document(runs, metric, common, seed)
    if html:
        from producer.report.page import render_page

        save(html, render_page(document).encode())
    if as_json:
        # json.dumps writes ASCII, so that every terminal and script gets the same document.
        console.file.write(json.dumps(json.loads(document.model_dump_json())) + "\n")
        return
    print_document(document, console)
    if html:
        console.file.write(f"page: {html}\n")


def _check_folder(path: Path) -> None:
    """Raise UsageError if the folder of the file does not exist."""
    if not path.absolute().parent.is_dir():
        raise UsageError(f"--html {path}: there is no folder {path.parent}; make it first")
