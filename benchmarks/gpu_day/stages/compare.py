"""Comparison of answers with the reference: tokens, and the logits that picked them."""

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor

from benchmarks.gpu_day.stages.rows import Figures

AnswerPlace = tuple[str, int, int]
"""Method, number of the question, number of its answer."""


class CheckedAnswer(NamedTuple):
    """An answer and its logits, [steps, S, V] float32 for the S sequences of each step."""

    tokens: tuple[int, ...]
    logits: Tensor


CheckedAnswers = Mapping[AnswerPlace, CheckedAnswer]


def compare(got: CheckedAnswers, wanted: CheckedAnswers) -> Figures:
    """Return whether all tokens are equal, the first difference, and the largest in logits.

    Compares logits up to the first token that differs, because later ones have another past.
    `wanted` may have more answers than `got`.
    """
    unequal = [place for place in got if got[place].tokens != wanted[place].tokens]
    differences = [_largest_difference(got[place], wanted[place]) for place in got]
    figures: Figures = {
        "equal": not unequal,
        "answers": len(got),
        "unequal": len(unequal),
        "logit difference": max(differences),
    }
    if unequal:
        figures["first"] = _first(unequal[0], got[unequal[0]], wanted[unequal[0]])
    return figures


def _first(place: AnswerPlace, got: CheckedAnswer, wanted: CheckedAnswer) -> str:
    """Describe the first difference.

    >>> none = Tensor()
    >>> _first(("avg", 4, 0), CheckedAnswer((5, 6, 7), none), CheckedAnswer((5, 8, 7), none))
    'avg, question 4, answer 0, token 1: 6 instead of 8'
    """
    step = equal_tokens(got.tokens, wanted.tokens)
    method, question, answer = place
    tokens = " instead of ".join(
        str(each.tokens[step]) if step < len(each.tokens) else "the end" for each in (got, wanted)
    )
    return f"{method}, question {question}, answer {answer}, token {step}: {tokens}"


def equal_tokens(tokens: tuple[int, ...], others: tuple[int, ...]) -> int:
    """Number of equal tokens before the first difference.

    >>> equal_tokens((5, 6, 7), (5, 6, 8, 9))
    2
    """
    pairs = zip(tokens, others, strict=False)
    differ = (step for step, (token, other) in enumerate(pairs) if token != other)
    return next(differ, min(len(tokens), len(others)))


def _largest_difference(got: CheckedAnswer, wanted: CheckedAnswer) -> float:
    # The logits of the first different token still have the same past.
    steps = equal_tokens(got.tokens, wanted.tokens) + 1
    difference = got.logits[:steps].cpu().float() - wanted.logits[: len(got.logits[:steps])]
    return float(difference.abs().max())
