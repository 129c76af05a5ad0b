"""common.errors: one class per decision, all of one root."""

import pyarrow as pa
import pytest

from common import errors

SPECIAL_CASES = {"OverwrittenRun": errors.UsageError, "UnusableModel": errors.StopRun}
DECISIONS = ["UsageError", "RetryShard", "ReturnShard", "RejectShard", "StopRun", "SampleError"]


def test_the_module_holds_the_root_the_decisions_and_their_special_cases_and_nothing_else():
    classes = {name for name, value in vars(errors).items() if isinstance(value, type)}
    assert classes == {"SelfEnsembleError", *DECISIONS, *SPECIAL_CASES}


@pytest.mark.parametrize("name", DECISIONS)
def test_a_decision_is_a_direct_child_of_the_root_with_its_reason_in_words(name):
    decision = getattr(errors, name)
    assert decision.__bases__ == (errors.SelfEnsembleError,)
    assert decision.__doc__
    assert name in errors.__doc__


@pytest.mark.parametrize(("name", "decision"), SPECIAL_CASES.items())
def test_a_special_case_is_its_decision_for_whoever_does_not_know_it(name, decision):
    assert getattr(errors, name).__bases__ == (decision,)
    assert name in errors.__doc__


def test_the_root_is_no_error_of_python_that_somebody_catches_by_chance():
    assert errors.SelfEnsembleError.__bases__ == (Exception,)


@pytest.mark.parametrize(
    ("error", "is_so"),
    [
        (PermissionError(13, "Permission denied", "file"), True),
        (OSError(5, "Input/output error"), True),
        (OSError("Invalid IPC stream: negative continuation token"), False),
        (pa.ArrowInvalid("Not an Arrow file"), False),
    ],
)
def test_an_error_of_the_system_is_told_from_damaged_content(error, is_so):
    assert errors.is_of_the_system(error) is is_so
