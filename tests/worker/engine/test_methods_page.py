"""docs/methods.md: the table names every method, and the examples of adding one are true."""

import re
from pathlib import Path

import pytest

from common.methods import METHODS
from common.prompts import _AROUND_WORDS
from tests.worker.engine.families import SAMPLES, make_request
from worker.engine.answer_end import EOS, LENGTH, stop_reason
from worker.engine.fusions import FUSIONS

PAGE = (Path(__file__).parents[3] / "docs" / "methods.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def added(monkeypatch):
    """Runs the code of the page, and removes its methods afterwards."""
    for table in (METHODS, FUSIONS):
        for name in table:
            monkeypatch.setitem(table, name, table[name])
    known = set(METHODS), set(FUSIONS)
    names = {}
    exec("\n".join(BLOCKS), names)
    yield names
    for table, before in zip((METHODS, FUSIONS), known, strict=True):
        for name in set(table) - before:
            del table[name]


def test_the_table_names_every_method_and_no_other():
    table = PAGE.partition("\n\n**Vote")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == list(METHODS)


def test_the_page_names_every_reason_to_finish():
    for reason in (EOS, LENGTH, stop_reason("<which>"), stop_reason("\n")):
        assert f"`{reason}`" in PAGE


def test_the_page_names_the_marks_that_are_taken_off_a_first_word():
    assert f"`{_AROUND_WORDS}`" in PAGE


def test_the_pages_own_test_passes(added):
    added["test_mean_of_probabilities_is_worked_out_by_hand"]()


@pytest.mark.parametrize("name", ["flex_attention_causal_length_corrected", "avg_probability"])
def test_a_method_added_as_the_page_says_equals_the_reference(
    added, make_engine, tokenizers, compare, name
):
    compare(make_engine("qwen2", True), tokenizers[True], SAMPLES, make_request(name))
