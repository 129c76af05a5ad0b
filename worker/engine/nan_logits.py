"""NaN logits: an answer whose logits were NaN becomes an error.

A model in float16 may overflow for one prompt and not for the next; a model with damaged weights
gives NaN for every prompt. The check costs no extra read from the device: NaN logits make the
log-probabilities of an answer NaN, and those are read at its end anyway.
"""

from collections.abc import Mapping, Sequence

from common.errors import SampleError, StopRun
from worker.engine.outputs import Generation, MethodGenerations


def refuse_nan(answers: Sequence[MethodGenerations], dtype: str) -> list[MethodGenerations]:
    """Return the answers of each sample, with a SampleError for a method whose logits were NaN.

    Raises StopRun if several samples have answers and every one of these was NaN.
    """
    checked = [_checked(each, dtype) for each in answers]
    pairs = zip(answers, checked, strict=True)
    answered = [(old, new) for old, new in pairs if _has_answer(old)]
    if len(answered) > 1 and not any(_has_answer(new) for _, new in answered):
        raise StopRun(
            f"the logits of the model in {dtype} are not numbers (NaN) for any of "
            f"{len(answered)} samples: its weights are damaged, or too large for this dtype; try "
            "another --dtype"
        )
    return checked


def _checked(answers: MethodGenerations, dtype: str) -> MethodGenerations:
    return {name: _nan_error(answer, dtype) or answer for name, answer in answers.items()}


def _nan_error(answer: list[Generation] | SampleError, dtype: str) -> SampleError | None:
    if isinstance(answer, SampleError):
        return None
    token = next((g.not_a_number for g in answer if g.not_a_number is not None), None)
    if token is None:
        return None
    return SampleError(
        f"the logits of the model in {dtype} are not numbers (NaN) at token {token} of the "
        "answer; try another --dtype"
    )


def _has_answer(answers: Mapping[str, list[Generation] | SampleError]) -> bool:
    """Whether at least one method has an answer."""
    return any(not isinstance(answer, SampleError) for answer in answers.values())
