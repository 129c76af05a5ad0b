"""When two answers are the same: the normalisation of SQuAD (Rajpurkar et al. 2016).

Scores, votes and confidences all go by it.
"""

import re
import string
from collections.abc import Iterable

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalise(text: str) -> str:
    """Lower case, without punctuation, articles and extra space.

    >>> normalise("The  Eiffel Tower!")
    'eiffel tower'
    """
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact_match(prediction: str | None, answers: Iterable[str]) -> bool:
    """Whether a prediction equals any of the answers, both normalised; None never does."""
    if prediction is None:
        return False
    return normalise(prediction) in {normalise(answer) for answer in answers}
