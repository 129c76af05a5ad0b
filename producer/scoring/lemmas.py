"""Lemmas of a text, and the lemma match of a prediction with answers. Knows nothing of runs.

Lemmas come from simplemma's English dictionary, which lies inside that package: no download.
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

    Words are those that exact match and F1 compare: the normalized text, split at spaces. So
    an exact match of at least one word is a lemma match, whatever simplemma makes of the words.

        >>> lemmas("The cities were founded by Mary's wolves!")
        ['city', 'be', 'found', 'by', 'mary', 'wolf']
    """
    lemmatise = _lemmatizer().lemmatize
    return [lemmatise(word, LANGUAGE).lower() for word in normalize(text).split()]


def lemma_match(prediction: Sequence[str], answers: Iterable[Sequence[str]]) -> bool:
    """Whether the lemmas of any answer stand side by side, in order, inside the prediction's.

    Never the other way round: a prediction that is part of an answer does not match it. This is
    the match of published results, but for an answer without lemmas: there it matches every
    prediction, here none.

        >>> lemma_match(["nile", "river", "in", "egypt"], [["amazon"], ["nile", "river"]])
        True
        >>> lemma_match(["nile", "in", "egypt"], [["nile", "egypt"]])
        False
        >>> lemma_match(["nile"], [["nile", "river"]])
        False
    """
    return any(_stand_side_by_side(answer, prediction) for answer in answers)


def lemmatiser_version() -> str:
    """Version of simplemma; raises UsageError where it is not installed."""
    _lemmatizer()
    return version("simplemma")


def _stand_side_by_side(answer: Sequence[str], prediction: Sequence[str]) -> bool:
    wanted, size = list(answer), len(answer)
    starts = range(len(prediction) - size + 1)
    return size > 0 and any(list(prediction[i : i + size]) == wanted for i in starts)


@cache
def _lemmatizer() -> Lemmatizer:
    try:
        from simplemma import Lemmatizer
    except ModuleNotFoundError:
        raise UsageError(
            "scoring needs simplemma, which is not installed; pip install 'self-ensemble[report]'"
        ) from None
    return Lemmatizer()
