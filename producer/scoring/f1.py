"""Token F1 of a prediction and answers. Knows nothing of runs or files."""

from collections import Counter
from collections.abc import Iterable, Sequence

from common.answer_text import normalize


def token_f1(prediction: str | None, answers: Iterable[str]) -> float:
    """F1 of a prediction's words against the nearest answer, in [0, 1]; 0 for None.

    The F1 of SQuAD 1.1 (Rajpurkar et al. 2016, and their official script): it compares the words
    of the normalized texts, and a repeated word counts as often as both texts have it. A text of
    punctuation alone has no words after normalization; it gets 0, even against its equal.

        >>> token_f1("the great Nile river", ["Nile", "The River Nile"])
        0.8
    """
    if prediction is None:
        return 0.0
    words = normalize(prediction).split()
    return max((_f1(words, normalize(answer).split()) for answer in answers), default=0.0)


def _f1(predicted: Sequence[str], gold: Sequence[str]) -> float:
    """2 P R / (P + R) with P = shared / predicted and R = shared / gold, in its reduced form."""
    shared = (Counter(predicted) & Counter(gold)).total()
    return 2 * shared / (len(predicted) + len(gold)) if shared else 0.0
