"""The text of answers: when two of them are equal, and which one wins a vote.

There are two equalities. Scores against gold answers use `normalize`, SQuAD's normalization
(Rajpurkar et al. 2016) with two corrections: Unicode's punctuation is removed, too, and articles
stay where nothing else is left. It deletes every mark, so -5 equals 5 and C++ equals C. Votes,
confidences and consistency compare the answers of one model by `answer_key`, which keeps marks
that carry a value or a name: -5 and 5 are two answers there.
"""

import re
import string
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import groupby
from statistics import fmean

ARTICLES = frozenset({"a", "an", "the"})

_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")
_KEPT_APART = ("<super>", "<sub>", "<fraction>")
"""Unicode's tags of characters that NFKC would turn into others: 10² is not 102."""

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


def unify(text: str) -> str:
    """Rewrite a text in one Unicode spelling, so that equal texts have equal characters.

    NFKC rather than NFC: letters and digits of full width, ligatures and presentation forms are
    typography, and NFC leaves them different. But superscripts, subscripts and fractions keep
    their form: NFKC makes 102 of 10². The minus sign becomes the hyphen-minus, a lone acute
    accent becomes the apostrophe it is typed for, and invisible characters (zero-width, soft
    hyphen, byte order mark) are removed.

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


@cache
def _is_kept_apart(character: str) -> bool:
    return unicodedata.decomposition(character).startswith(_KEPT_APART)


def normalize(text: str) -> str:
    """Return the text in lower case, without punctuation, articles and extra space.

    Articles stay if all else goes. Punctuation is Unicode's category P together with ASCII's, in
    which SQuAD counts the symbols $ + < = > ^ ` | and ~ too (so does the official script of MLQA,
    Lewis et al. 2020). Other symbols stay.

        >>> normalize("The  Eiffel Tower!")
        'eiffel tower'
        >>> normalize("“A”")
        'a'
        >>> normalize("...")
        ''
    """
    kept = "".join(c for c in unify(text).lower() if not _is_removed(c))
    return " ".join(_without_articles(kept.split()))


@cache
def _is_removed(character: str) -> bool:
    return character in string.punctuation or _is_punctuation(character)


def _is_punctuation(character: str) -> bool:
    """Whether Unicode counts a character among punctuation (category P)."""
    return unicodedata.category(character).startswith("P")


def _without_articles(words: list[str]) -> list[str]:
    """Drop the articles, unless nothing else is left."""
    return [word for word in words if word not in ARTICLES] or words


def exact_match(prediction: str | None, answers: Iterable[str]) -> bool:
    """Whether a prediction equals any of the answers, both normalized; None never does.

    A text that normalizes to nothing equals itself alone.

        >>> exact_match("the Nile.", ["Nile"]), exact_match("...", ["A"]), exact_match("+", ["-"])
        (True, False, False)
    """
    return prediction is not None and _compared(prediction) in map(_compared, answers)


def _compared(text: str) -> str:
    return normalize(text) or " ".join(unify(text).split())


def answer_key(text: str) -> str:
    """Return a key that equal answers share: "" for an answer of punctuation alone, or none.

    Case, Unicode spelling, articles (unless nothing else is left), space and punctuation do not
    count. Symbols do (Unicode's category S and # % & @), and so does punctuation that carries a
    value: a sign before a number or behind a name of up to three characters, a decimal point,
    marks between two digits. Commas that only group thousands are removed.

        >>> [answer_key(text) for text in ("The “Nile”.", "A", "...", "U.S.A.")]
        ['nile', 'a', '', 'usa']
        >>> [answer_key(text) for text in ("-5", "\\u22125", "3.50", "1,000", "C++", "C#", "O-")]
        ['-5', '-5', '3.50', '1000', 'c++', 'c#', 'o-']
    """
    folded = _DASHES.sub("-", unify(unify(text).casefold()))
    folded = _GROUPED.sub(lambda number: number[0].replace(",", ""), folded)
    carrying = {i for match in _CARRYING.finditer(folded) for i in range(*match.span())}
    kept = "".join(c for i, c in enumerate(folded) if i in carrying or not _is_mark(c))
    return _BESIDE_NUMBER.sub("", " ".join(_without_articles(kept.split())))


def _is_mark(character: str) -> bool:
    """Whether a character can be removed, unless it carries a value.

    The grave accent is a symbol to Unicode, but a quotation mark to those who type it.
    """
    return character == "`" or (_is_punctuation(character) and character not in _SYMBOLS)


def majority(answers: Sequence[str], mean_logprobs: Sequence[float]) -> int:
    """Index of the answer that wins the vote: a member of the largest group of equal answers.

    Answers are equal when their `answer_key` is. mean_logprobs: the log-probability per token of
    each answer. Among groups of the same size, the group with the higher mean of these values
    wins; within the group, the member with the highest value is returned. Remaining ties go to the
    first. Answers whose key is empty vote only where there is no other.

    Raises ValueError for no answers, and for another number of log-probabilities than answers.

        >>> majority(["Nile", "the Amazon", "nile!"], [-0.9, -0.1, -0.5])
        2
        >>> majority(["Nile", "the Amazon"], [-0.9, -0.1])
        1
        >>> majority(["", "", "Nile"], [-0.1, -0.1, -2.0])
        2
        >>> majority(["A", "A", "A", "B"], [-0.1, -0.1, -0.1, -2.0])
        0
    """
    groups: dict[str, list[float]] = {}
    keys = [answer_key(answer) for answer in answers]
    for key, logprob in zip(keys, mean_logprobs, strict=True):
        groups.setdefault(key, []).append(logprob)
    voters = [i for i, key in enumerate(keys) if key] or range(len(keys))

    def standing(i: int) -> tuple[int, float, float]:
        members = groups[keys[i]]
        return len(members), fmean(members), mean_logprobs[i]

    return max(voters, key=standing)
