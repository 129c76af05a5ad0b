"""How scores compare texts: the normalization of SQuAD (Rajpurkar et al. 2016), corrected twice.

Unicode is normalized first, and what it counts among punctuation goes; articles stay where nothing
else is left. Votes and confidences compare by `common.equality`, which keeps signs and symbols.
"""

import re
import string
import unicodedata
from collections.abc import Iterable
from functools import cache
from itertools import groupby

ARTICLES = frozenset({"a", "an", "the"})

_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")
_KEPT_APART = ("<super>", "<sub>", "<fraction>")
"""Unicode's tags of characters that NFKC would turn into others: 10² is not 102."""


def unify(text: str) -> str:
    """A text in one Unicode spelling, so that equal texts have equal characters.

    NFKC rather than NFC: letters and digits of full width, ligatures and presentation forms are
    typography, and NFC leaves them different. But superscripts, subscripts and fractions keep
    their form: NFKC makes 102 of 10². The minus sign becomes the hyphen-minus, and a lone acute
    accent the apostrophe it is typed for; what cannot be seen (zero-width, soft hyphen, byte order
    mark) is taken out.

        >>> unify("Ｃａｆe\\u0301 \\u22125 \\ufb01n") == "Caf\\u00e9 -5 fin"
        True
        >>> unify("10²")
        '10²'
    """
    if text.isascii():
        return text
    visible = unicodedata.normalize("NFC", _INVISIBLE.sub("", text))
    plain = visible.replace("\u2212", "-").replace("\u00b4", "'")
    runs = ((kept, "".join(run)) for kept, run in groupby(plain, key=_is_kept_apart))
    folded = "".join(run if kept else unicodedata.normalize("NFKC", run) for kept, run in runs)
    return unicodedata.normalize("NFC", folded)


def is_punctuation(character: str) -> bool:
    """Whether Unicode counts a character among punctuation (category P)."""
    return unicodedata.category(character).startswith("P")


def normalize(text: str) -> str:
    """Lower case, without punctuation, articles and extra space; articles stay if all else goes.

    Punctuation is Unicode's together with ASCII's, in which SQuAD has the symbols $ + < = > ^ ` |
    and ~ too (so does the official script of MLQA, Lewis et al. 2020). Other symbols stay.

        >>> normalize("The  Eiffel Tower!")
        'eiffel tower'
        >>> normalize("“A”")
        'a'
        >>> normalize("...")
        ''
    """
    kept = "".join(c for c in unify(text).lower() if not _is_left_out(c))
    words = kept.split()
    return " ".join([word for word in words if word not in ARTICLES] or words)


def exact_match(prediction: str | None, answers: Iterable[str]) -> bool:
    """Whether a prediction equals any of the answers, both normalized; None never does.

    A text of which nothing is left equals itself alone.

        >>> exact_match("the Nile.", ["Nile"]), exact_match("...", ["A"]), exact_match("+", ["-"])
        (True, False, False)
    """
    return prediction is not None and _compared(prediction) in map(_compared, answers)


def _compared(text: str) -> str:
    return normalize(text) or " ".join(unify(text).split())


@cache
def _is_left_out(character: str) -> bool:
    return character in string.punctuation or is_punctuation(character)


@cache
def _is_kept_apart(character: str) -> bool:
    return unicodedata.decomposition(character).startswith(_KEPT_APART)
