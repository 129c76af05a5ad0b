"""Answers picked from logits that are not numbers are errors, not answers.

A model in float16 may overflow for one prompt and not for the next; one whose weights are damaged
gives NaN throughout. Nothing is read from the device for it: the log-probabilities of an answer
tell, and they are read at its end anyway.
"""

from collections.abc import Mapping, Sequence

from common.errors import SampleError, StopRun
from worker.engine.decode import Generation
from worker.engine.sample import Answers


def refuse_no_numbers(answers: Sequence[Answers], dtype: str) -> list[Answers]:
    """The answers of each sample, with a SampleError where a method's logits were not numbers.

    Raises StopRun where that is so for everything that several samples were answered with.
    """
    checked = [_checked(each, dtype) for each in answers]
    answered = [(old, new) for old, new in zip(answers, checked, strict=True) if _some(old)]
    if len(answered) > 1 and not any(_some(new) for _, new in answered):
        raise StopRun(
            f"the logits of the model in {dtype} are not numbers (NaN) for any of "
            f"{len(answered)} samples: its weights are damaged, or too large for this dtype; try "
            "another --dtype"
        )
    return checked


def _checked(answers: Answers, dtype: str) -> Answers:
    return {name: _fault(found, dtype) or found for name, found in answers.items()}


def _fault(found: list[Generation] | SampleError, dtype: str) -> SampleError | None:
    if isinstance(found, SampleError):
        return None
    bad = next((g.not_a_number for g in found if g.not_a_number is not None), None)
    if bad is None:
        return None
    return SampleError(
        f"the logits of the model in {dtype} are not numbers (NaN) at token {bad} of the answer; "
        "try another --dtype"
    )


def _some(answers: Mapping[str, list[Generation] | SampleError]) -> bool:
    """Whether some method has an answer."""
    return any(not isinstance(found, SampleError) for found in answers.values())
