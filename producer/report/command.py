"""What `producer report` does once its arguments are known: compute, write, show."""

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
    """Report the runs; raises UsageError for runs or a file that cannot be, before writing it.

    With `as_json` the document is all that is printed.
    """
    if html:
        _check_folder(html)
    document = build_document(runs, metric, common, seed)
    if html:
        from producer.report.page import render_page

        save(html, render_page(document).encode())
    if as_json:
        # In ASCII, so that every terminal and every script gets the same document.
        console.file.write(json.dumps(json.loads(document.model_dump_json())) + "\n")
        return
    print_document(document, console)
    if html:
        console.file.write(f"page: {html}\n")


def _check_folder(path: Path) -> None:
    """Raise UsageError where a file cannot be written for want of its folder."""
    if not path.absolute().parent.is_dir():
        raise UsageError(f"--html {path}: there is no folder {path.parent}; make it first")
