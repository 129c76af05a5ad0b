"""Token F1: how many words a prediction and an answer share. Knows nothing of runs or files."""

from collections import Counter
from collections.abc import Iterable, Sequence

from common.answer_text import normalize


def token_f1(prediction: str | None, answers: Iterable[str]) -> float:
    """F1 of a prediction's words against the nearest of the answers, in [0, 1]; 0 for None.

    Words are those of the normalized texts, counted as often as both have them: the F1 of SQuAD
    1.1 (Rajpurkar et al. 2016, and their official script). As there, a text of marks alone, of
    which normalization leaves no word, gets 0, even against another one.

        >>> token_f1("the great Nile river", ["Nile", "The River Nile"])
        0.8
    """
    if prediction is None:
        return 0.0
    said = normalize(prediction).split()
    return max((_f1(said, normalize(answer).split()) for answer in answers), default=0.0)


def _f1(said: Sequence[str], gold: Sequence[str]) -> float:
    """2 P R / (P + R) with P = shared / said and R = shared / gold, in its reduced form."""
    shared = (Counter(said) & Counter(gold)).total()
    return 2 * shared / (len(said) + len(gold)) if shared else 0.0
