"""The examples in the engine's docstrings are true."""

import doctest

import pytest

from worker.engine import canary, sampler, segments, stats


@pytest.mark.parametrize(
    "module", [canary, sampler, segments, stats], ids=lambda module: module.__name__
)
def test_examples_in_docstrings_hold(module):
    results = doctest.testmod(module)
    assert results.attempted > 0
    assert results.failed == 0
