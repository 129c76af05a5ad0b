"""common.errors: one class per decision, all of one root, none inside another."""

import pytest

from common import errors

DECISIONS = ["UsageError", "RetryShard", "ReturnShard", "RejectShard", "StopRun", "SampleError"]


def test_the_module_holds_the_root_and_the_decisions_and_nothing_else():
    classes = {name for name, value in vars(errors).items() if isinstance(value, type)}
    assert classes == {"SelfEnsembleError", *DECISIONS}


@pytest.mark.parametrize("name", DECISIONS)
def test_a_decision_is_a_direct_child_of_the_root_with_its_reason_in_words(name):
    decision = getattr(errors, name)
    assert decision.__bases__ == (errors.SelfEnsembleError,)
    assert decision.__doc__
    assert name in errors.__doc__


def test_the_root_is_no_error_of_python_that_somebody_catches_by_chance():
    assert errors.SelfEnsembleError.__bases__ == (Exception,)
