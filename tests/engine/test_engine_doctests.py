"""The examples in the engine's docstrings are true."""

import doctest

from worker.engine import tokenise


def test_examples_in_docstrings_hold():
    results = doctest.testmod(tokenise)
    assert results.attempted > 0
    assert results.failed == 0
