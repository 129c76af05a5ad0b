"""common.methods: the table of methods, and what follows from a row."""

import pytest

from common.errors import UsageError
from common.methods import METHODS, get_method

TABLE = {
    # name: (streams, fusion, has a layout, row per wording, wordings read of 5)
    "origin": ("first", "own", False, False, 1),
    "per_prompt": ("each", "own", False, True, 5),
    "avg": ("each", "mean_logits", False, False, 5),
    "max": ("each", "max_probability", False, False, 5),
    "flex_attention": ("fused", "own", True, False, 5),
}


def test_the_methods_are_those_of_the_design():
    assert set(METHODS) == set(TABLE)


@pytest.mark.parametrize("name", TABLE)
def test_a_method_is_its_row(name):
    m = get_method(name)
    row = (m.streams, m.fusion, m.has_layout, m.row_per_wording, m.num_wordings(5))
    assert (m.name, row) == (name, TABLE[name])
    assert m.summary


def test_no_two_methods_make_the_same_two_choices():
    assert len({(m.streams, m.fusion) for m in METHODS.values()}) == len(METHODS)


@pytest.mark.parametrize("name", ["", "AVG", "avg ", "vote"])
def test_an_unknown_method_is_refused_with_the_known_ones(name):
    with pytest.raises(UsageError, match="origin, per_prompt, avg, max, flex_attention") as error:
        get_method(name)
    assert repr(name) in str(error.value)
