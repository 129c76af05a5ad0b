"""When two answers are one: the equality of votes, confidences and consistency.

Scores compare by `common.normalize`, which deletes every mark, so that -5 is 5 and C++ is C. That
is SQuAD's measure against gold answers; between the answers of one model it would merge what
differs. Here marks that carry a value or a name stay.
"""

import re

from common.normalize import ARTICLES, is_punctuation, unify

_SYMBOLS = frozenset("#%&@‰‱")
"""Punctuation to Unicode, but C# is not C and 5 % is not 5."""

_DASHES = re.compile("[\u2010\u2012\u2013]")
_GROUPED = re.compile(r"(?<![\d.,])[1-9]\d{0,2}(?:,\d{3})+(?!\d|,\d)")
_BESIDE_NUMBER = re.compile(r"(?<=\d) (?=[%‰‱°])|(?<=[$€£¥]) (?=[\d.])")

_CARRYING = re.compile(
    r"""(?<=\d)[^\w\s]+(?=\d)                              # 3.5, 1/2, 10:30, 2010-2012
      | (?<![^\W_])(?<!-)-(?=[.$€£¥]*[\d∞])                 # -5, (-5), -$5, but not F-16
      | (?<![\w.])\.(?=\d)                                 # .5, but not ...5
      | (?<![^\W_])[^\W_]{1,3}-+(?=[^\w\s]*(?:\s|$))       # O-, Cl-, but not Paris-
    """,
    re.VERBOSE,
)


def answer_key(text: str) -> str:
    """Text that equal answers have in common; "" for an answer of punctuation alone, or none.

    Case, Unicode spelling, articles (unless nothing else is left), space and punctuation do not
    count. Symbols do (Unicode's category S and # % & @), and so does punctuation that carries a
    value: a sign before a number or behind a name of up to three characters, a decimal point,
    marks between two digits. Commas that only group thousands go.

        >>> [answer_key(text) for text in ("The “Nile”.", "A", "...", "U.S.A.")]
        ['nile', 'a', '', 'usa']
        >>> [answer_key(text) for text in ("-5", "\\u22125", "3.50", "1,000", "C++", "C#", "O-")]
        ['-5', '-5', '3.50', '1000', 'c++', 'c#', 'o-']
    """
    folded = _DASHES.sub("-", unify(unify(text).casefold()))
    folded = _GROUPED.sub(lambda number: number[0].replace(",", ""), folded)
    carrying = {i for match in _CARRYING.finditer(folded) for i in range(*match.span())}
    kept = "".join(c for i, c in enumerate(folded) if i in carrying or not _is_mark(c))
    words = kept.split()
    said = " ".join([word for word in words if word not in ARTICLES] or words)
    return _BESIDE_NUMBER.sub("", said)


def _is_mark(character: str) -> bool:
    """Whether a character, unless it carries a value, tells nothing of an answer.

    The grave accent is a symbol to Unicode, but a quotation mark to those who type it.
    """
    return character == "`" or (is_punctuation(character) and character not in _SYMBOLS)
