"""A matplotlib figure as an SVG element for the page: small, reproducible, themed.

Text stays text, in the page's own font. Everything drawn in INK takes the colour of the page's
text, in light and in dark mode. Styles become attributes, which a strict content security policy
allows. Ids without a reference are dropped; the others get the figure's name.
"""

import io
import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import matplotlib

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK = "#010203"
"""Placeholder for the colour of the page's text. Near black, so a figure looks right elsewhere."""

_NO_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}
_DROPPED_PROPERTIES = {"font-family"}
_DROPPED_ATTRIBUTES = {"width", "height", "version"}
_REFERENCE = re.compile(r"#([\w.-]+)")


def inline_svg(figure: "Figure", name: str, words: str) -> str:
    """The figure as one `<svg>` element.

    name: unique on the page. words: the figure in words, for screen readers.
    """
    root = ElementTree.fromstring(_draw(figure))
    for parent in list(root.iter()):
        for child in [c for c in parent if _local(c.tag) in ("style", "metadata")]:
            parent.remove(child)
    for element in root.iter():
        _make_plain(element)
    for attribute in _DROPPED_ATTRIBUTES:
        root.attrib.pop(attribute, None)
    _own_ids(root, name)
    root.attrib.update({"class": "plot", "role": "img", "aria-label": words})
    return ElementTree.tostring(root, encoding="unicode")


def _draw(figure: "Figure") -> str:
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "self-ensemble"}):
        figure.savefig(buffer, format="svg", transparent=True, metadata=_NO_METADATA)
    return buffer.getvalue()


def _local(name: str) -> str:
    """
    >>> _local("{http://www.w3.org/2000/svg}path")
    'path'
    """
    return name.rpartition("}")[2]


def _make_plain(element: ElementTree.Element) -> None:
    """Drop XML namespaces, which HTML implies; turn style into attributes and ink into colour."""
    element.tag = _local(element.tag)
    plain = {_local(key): " ".join(value.split()) for key, value in element.attrib.items()}
    plain |= _properties(plain.pop("style", ""))
    element.attrib.clear()
    for key, value in plain.items():
        element.set(key, "currentColor" if value == INK else value)
    if element.tag != "text":
        element.text = None
    element.tail = None


def _properties(style: str) -> dict[str, str]:
    """
    >>> _properties("fill: none; stroke: #0072b2")
    {'fill': 'none', 'stroke': '#0072b2'}
    """
    pairs = [part.split(":", 1) for part in style.split(";") if ":" in part]
    stripped = ((key.strip(), value.strip()) for key, value in pairs)
    return {key: value for key, value in stripped if key not in _DROPPED_PROPERTIES}


def _own_ids(root: ElementTree.Element, name: str) -> None:
    """Rename ids with a reference to `name-0`, `name-1`, ...; drop all other ids."""
    values = [v for e in root.iter() for k, v in e.attrib.items() if k in ("href", "clip-path")]
    used = dict.fromkeys(match for value in values for match in _REFERENCE.findall(value))
    new = {old: f"{name}-{number}" for number, old in enumerate(used)}
    for element in root.iter():
        if element.get("id") in new:
            element.set("id", new[element.attrib["id"]])
        else:
            element.attrib.pop("id", None)
        for key in ("href", "clip-path"):
            if key in element.attrib:
                renamed = _REFERENCE.sub(lambda m: f"#{new[m[1]]}", element.attrib[key])
                element.set(key, renamed)
