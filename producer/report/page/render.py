"""Render the page: templates, style, script and data in one text."""

import base64
import hashlib
import json
import re
from importlib import resources
from typing import TYPE_CHECKING, Any

from common.counted import counted
from common.errors import UsageError
from producer.report import formatting, sentences
from producer.report.document import ALPHA, Document, SampleRow
from producer.report.page.masks import mask_pictures

if TYPE_CHECKING:
    import jinja2
    import markupsafe

_AFTER_SEPARATOR = re.compile(r"(?<=[-_/])(?=\w)")


def render_page(document: Document) -> str:
    """The whole page as HTML. Equal documents give equal pages, byte for byte.

    Raises UsageError if jinja2 or matplotlib is not installed.
    """
    try:
        from producer.report.page.plots import all_plots

        environment = _environment()
    except ImportError as error:
        raise UsageError(
            f"--html needs {error.name}; install it with: pip install 'self-ensemble[report]'"
        ) from error
    names = formatting.short_names([run.run for run in document.runs])
    return environment.get_template("page.html").render(
        _inlined("style.css", "table.js"),
        document=document,
        names=names,
        sentences=sentences,
        numbers=formatting,
        counted=counted,
        alpha=ALPHA,
        plots=all_plots(document, names),
        masks=mask_pictures(document.runs),
        sample_data=sample_data(document),
    )


def _environment() -> "jinja2.Environment":
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("producer.report.page"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["breakable"] = _breakable
    return environment


def _breakable(text: str) -> "markupsafe.Markup":
    """Text in which a long name breaks only after `-`, `_` or `/`, and only if it does not fit."""
    from markupsafe import Markup, escape

    name = Markup('<span class="name">{}</span>')
    words = (map(escape, _AFTER_SEPARATOR.split(word)) for word in text.split(" "))
    joined = map(Markup("<wbr>").join, words)
    return Markup(" ").join(name.format(word) if "<wbr>" in word else word for word in joined)


def _inlined(style_name: str, script_name: str) -> dict[str, Any]:
    """The texts of style and script, and the content security policy that allows only these."""
    folder = resources.files("producer.report.page")
    style, script = (folder.joinpath(n).read_text("utf-8") for n in (style_name, script_name))
    policy = (
        f"default-src 'none'; style-src {_source(style)}; script-src {_source(script)}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    return {"style": style, "script": script, "policy": policy}


def _source(text: str) -> str:
    """The name of an inline text in a content security policy: its hash (CSP level 2)."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def sample_data(document: Document) -> str:
    """The samples as JSON for the page's script.

    `{"runs": [key, ...], "pairs": [[row, ...], ...], "rows": [...]}`. In a row, `predictions`,
    `correct` and `errors` are lists in the order of `runs`, with null for none: repeated keys of
    runs would be most of the page. `pairs`: for each comparison the numbers of the rows that
    flip. `<` is written \\u003c, so that no text can end the HTML element around the data.
    """
    runs = [run.run for run in document.runs]
    numbers = {sample.uuid: number for number, sample in enumerate(document.samples)}
    data = {
        "runs": runs,
        "pairs": [
            [numbers[uuid] for uuid in comparison.flips if uuid in numbers]
            for comparison in document.comparisons
        ],
        "rows": [_row(sample, runs) for sample in document.samples],
    }
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


def _row(sample: SampleRow, runs: list[str]) -> dict[str, Any]:
    row = sample.model_dump(mode="json")
    for field in ("predictions", "correct", "errors"):
        row[field] = [row[field].get(run) for run in runs]
    return row
