"""Lemmas of a text, and the lemma match of a prediction with answers. Knows nothing of runs.

Lemmas come from simplemma's English dictionary, which lies inside that package: no download.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING

from common.errors import UsageError
from common.normalise import normalise

if TYPE_CHECKING:
    from simplemma import Lemmatizer

LANGUAGE = "en"


def lemmas(text: str) -> list[str]:
    """The lemmas of a text's words, in order and in lower case.

    Words are those that exact match and F1 compare: the normalised text, split at spaces. So
    an exact match of at least one word is a lemma match, whatever simplemma makes of the words.

        >>> lemmas("The cities were founded by Mary's wolves!")
        ['city', 'be', 'found', 'by', 'mary', 'wolf']
    """
    lemmatise = _lemmatizer().lemmatize
    return [lemmatise(word, LANGUAGE).lower() for word in normalise(text).split()]


def lemma_match(prediction: Sequence[str], answers: Iterable[Sequence[str]]) -> bool:
    """Whether a prediction's lemmas match those of any answer, as in published results.

    They match when the lemmas of the answer occur in the prediction in their order, other
    lemmas between them allowed, or the other way round. No lemmas match nothing. It is the most
    lenient of the scores: one word of a long answer is enough.

        >>> lemma_match(["the", "nile", "in", "egypt"], [["amazon"], ["nile", "egypt"]])
        True
        >>> lemma_match(["egypt", "nile"], [["nile", "egypt"]])
        False
    """
    return any(
        _occur_in_order(answer, prediction) or _occur_in_order(prediction, answer)
        for answer in answers
    )


def lemmatiser_version() -> str:
    """Version of simplemma; raises UsageError where it is not installed."""
    _lemmatizer()
    return version("simplemma")


def _occur_in_order(few: Sequence[str], many: Sequence[str]) -> bool:
    """Whether `few`, not empty, is a subsequence of `many`."""
    rest = iter(many)
    return bool(few) and all(lemma in rest for lemma in few)


@cache
def _lemmatizer() -> Lemmatizer:
    try:
        from simplemma import Lemmatizer
    except ModuleNotFoundError:
        raise UsageError(
            "scoring needs simplemma, which is not installed; pip install 'self-ensemble[report]'"
        ) from None
    return Lemmatizer()
