"""Putting the page together: templates, style, script and data into one text."""

import base64
import hashlib
import re
from importlib import resources
from typing import TYPE_CHECKING, Any

from common.errors import UsageError
from producer.report import formatting, sentences
from producer.report.document import ALPHA, Document
from producer.report.page.mask_picture import mask_pictures
from producer.report.page.sample_data import sample_data

if TYPE_CHECKING:
    import jinja2
    import markupsafe

_AFTER_SEPARATOR = re.compile(r"(?<=[-_/])(?=\w)")


def render_page(document: Document) -> str:
    """The whole page as HTML; the same document gives the same text.

    Raises UsageError where jinja2 or matplotlib is not installed.
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
    """Text whose names stay on one line where they fit, and else break after a separator."""
    from markupsafe import Markup, escape

    name = Markup('<span class="name">{}</span>')
    words = (map(escape, _AFTER_SEPARATOR.split(word)) for word in text.split(" "))
    joined = map(Markup("<wbr>").join, words)
    return Markup(" ").join(name.format(word) if "<wbr>" in word else word for word in joined)


def _inlined(style_name: str, script_name: str) -> dict[str, Any]:
    """The texts of style and script, and the policy that allows these two and no other."""
    folder = resources.files("producer.report.page")
    style, script = (folder.joinpath(n).read_text("utf-8") for n in (style_name, script_name))
    policy = (
        f"default-src 'none'; style-src {_source(style)}; script-src {_source(script)}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    return {"style": style, "script": script, "policy": policy}


def _source(text: str) -> str:
    """How a content security policy names an inline text: the hash of it (CSP level 2)."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
