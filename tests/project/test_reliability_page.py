"""docs/reliability.md names the test that shows each claim, and every one of them exists."""

import ast
import re

import pytest

from tests.project.modules import ROOT

PAGE = (ROOT / "docs" / "reliability.md").read_text()
NAMED = sorted(set(re.findall(r"`([\w/]+\.py)::(\w+)`", PAGE)))
FAULTS = [line for line in PAGE.splitlines() if re.match(r"\| (?!fault )", line)]
SHOWN = re.compile(r"`(\w+\.py::\w+|(python|producer) .+)` \|$")


def defined_in(file):
    """Names of the tests of a file, which has a name that no other test file has."""
    (path,) = (ROOT / "tests").rglob(file)
    defined = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.parse(path.read_text()).body if isinstance(node, defined)}


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_a_test_that_the_page_names_exists(file, name):
    assert name in defined_in(file)


def test_every_fault_has_a_test_or_a_command_that_shows_it():
    assert len(FAULTS) > 20
    assert [row for row in FAULTS if not SHOWN.search(row)] == []
