"""Lemmas of a text, and the lemma match of a prediction with answers. Knows nothing of runs.

Lemmas come from the English dictionary inside the package simplemma: nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING

from common.answer_text import normalize
from common.errors import UsageError

if TYPE_CHECKING:
    from simplemma import Lemmatizer

LANGUAGE = "en"


def lemmas(text: str) -> list[str]:
    """The lemmas of a text's words, in order and in lower case.

    The normalized text is split at spaces, as for exact match and F1. So an exact match of at
    least one word is also a lemma match, whatever lemmas simplemma returns.

        >>> lemmas("The cities were founded by Mary's wolves!")
        ['city', 'be', 'found', 'by', 'mary', 'wolf']
    """
    lemmatize = _lemmatizer().lemmatize
    return [lemmatize(word, LANGUAGE).lower() for word in normalize(text).split()]


def lemma_match(prediction: Sequence[str], answers: Iterable[Sequence[str]]) -> bool:
    """Whether the prediction's lemmas contain all lemmas of an answer, side by side and in order.

    A prediction that is only part of an answer does not match the answer. Published results use
    the same match, except that an answer without lemmas matches every prediction there and none
    here.

        >>> lemma_match(["nile", "river", "in", "egypt"], [["amazon"], ["nile", "river"]])
        True
        >>> lemma_match(["nile", "in", "egypt"], [["nile", "egypt"]])
        False
        >>> lemma_match(["nile"], [["nile", "river"]])
        False
    """
    return any(_contains(prediction, answer) for answer in answers)


def lemmatizer_version() -> str:
    """Version of simplemma; raises UsageError if it is not installed."""
    _lemmatizer()
    return version("simplemma")


def _contains(prediction: Sequence[str], answer: Sequence[str]) -> bool:
    size = len(answer)
    starts = range(len(prediction) - size + 1)
    return size > 0 and any(list(prediction[i : i + size]) == list(answer) for i in starts)


@cache
def _lemmatizer() -> Lemmatizer:
    try:
        from simplemma import Lemmatizer
    except ModuleNotFoundError:
        raise UsageError(
            "scoring needs simplemma, which is not installed; pip install 'self-ensemble[report]'"
        ) from None
    return Lemmatizer()
