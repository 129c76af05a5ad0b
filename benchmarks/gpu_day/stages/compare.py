"""Comparison of answers with the reference's: tokens, and the logits that they were picked by."""

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor

from benchmarks.gpu_day.stages.rows import Figures

AnswerPlace = tuple[str, int, int]
"""Method, number of the question, number of its answer."""


class CheckedAnswer(NamedTuple):
    """tokens: of the answer. logits: [steps, S, V] float32, of each step's S sequences."""

    tokens: tuple[int, ...]
    logits: Tensor


CheckedAnswers = Mapping[AnswerPlace, CheckedAnswer]


def compare(got: CheckedAnswers, wanted: CheckedAnswers) -> Figures:
    """Whether all tokens are equal, the first that is not, and the largest logit difference.

    Logits are compared up to the first token that differs: what follows has another past. The
    answers that are wanted may be more than those that were given.
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
    """Where the first difference is.

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
    """How many tokens from the first on are equal.

    >>> equal_tokens((5, 6, 7), (5, 6, 8, 9))
    2
    """
    pairs = zip(tokens, others, strict=False)
    differ = (step for step, (token, other) in enumerate(pairs) if token != other)
    return next(differ, min(len(tokens), len(others)))


def _largest_difference(got: CheckedAnswer, wanted: CheckedAnswer) -> float:
    # The logits that the first other token was picked by have the same past.
    steps = equal_tokens(got.tokens, wanted.tokens) + 1
    difference = got.logits[:steps].cpu().float() - wanted.logits[: len(got.logits[:steps])]
    return float(difference.abs().max())
