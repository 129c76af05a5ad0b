"""Texts in cells: visible characters, numbers as text, lists written as text."""

import ast
import re
from decimal import Decimal
from typing import Any, TypeGuard

_SHOWS = re.compile(
    r"[^\s\x00-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    r"\u202a-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    r"\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
"""Any character but white space, controls, and what Unicode ignores by default: joiners,
variation selectors, fillers, the byte order mark. The blank Braille pattern is blank, too."""

_WHOLE_FLOAT = re.compile(r"[-+]?[0-9]+\.0")
_HALF = re.compile("[\ud800-\udfff]")
_QUOTED_IN_BRACKETS = re.compile(r"""\s*(\[\s*(['"].*)?\]|\{\s*(['"].*)?\})\s*""", re.DOTALL)
_TUPLE = re.compile(r"""\s*\(\s*['"].*\)\s*""", re.DOTALL)


def is_text(value: Any) -> TypeGuard[str]:
    r"""Whether a value is a text with a visible character, and one that UTF-8 can encode.

    >>> is_text("a"), is_text(" \n"), is_text("\u200b\u200d"), is_text("a \ud800"), is_text(7)
    (True, False, False, False, False)
    """
    if not isinstance(value, str) or _SHOWS.search(value) is None:
        return False
    return value.isascii() or _HALF.search(value) is None


def half_surrogate(text: str) -> str | None:
    """The first half surrogate pair in a text, or None; JSON can spell it, UTF-8 cannot."""
    match = _HALF.search(text)
    return match[0] if match else None


def number_as_text(value: Any) -> str | None:
    """A number in decimal notation; None for a value that is no number, or not finite.

    All digits are written out, as few as give the same number, with no point after a whole one:
    data frames hold whole numbers as floats wherever a column has a gap.

    >>> number_as_text(5), number_as_text(5.0), number_as_text(0.1), number_as_text(1e23)
    ('5', '5', '0.1', '100000000000000000000000')
    >>> number_as_text(True), number_as_text(float("nan"))
    (None, None)
    """
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    number = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    if not number.is_finite():
        return None
    digits = format(number, "f")
    shorter = digits.rstrip("0").rstrip(".") if "." in digits else digits
    return "0" if shorter == "-0" else shorter


def is_whole_float(text: str) -> bool:
    """Whether a text is a whole number in the notation of floats.

    >>> [is_whole_float(text) for text in ("1984.0", "1984", "3.10", "1.0.0")]
    [True, False, False, False]
    """
    return text.endswith(".0") and _WHOLE_FLOAT.fullmatch(text) is not None


def is_list_as_text(text: str) -> bool:
    r"""Whether a text is a list, dict or tuple of texts, written by JSON or by Python's repr.

    >>> is_list_as_text('["x", "y"]'), is_list_as_text("['x' 'y']"), is_list_as_text("[]")
    (True, True, True)
    >>> is_list_as_text("[0, 1]"), is_list_as_text("[MASK]"), is_list_as_text('("Heroes")')
    (False, False, False)
    """
    if _QUOTED_IN_BRACKETS.fullmatch(text):
        return True
    return _TUPLE.fullmatch(text) is not None and isinstance(_literal(text), tuple)


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
