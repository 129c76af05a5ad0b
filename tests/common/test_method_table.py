"""common.methods: the table of methods, and the properties of a row."""

from dataclasses import replace

import pytest

from common.errors import UsageError
from common.methods import CONFIDENCE, METHODS, PARAPHRASES, get_method

TABLE = {
    # name: (sequences, fusion, has a layout, row per paraphrase, reads confidences, read of 5)
    "origin": ("first", "own", False, False, False, 1),
    "per_prompt": ("each", "own", False, True, False, 5),
    "majority": ("each", "vote", False, False, False, 5),
    "avg": ("each", "mean_logits", False, False, False, 5),
    "max": ("each", "max_probability", False, False, False, 5),
    "weighted_avg": ("each", "weighted_mean", False, False, True, 5),
    "weighted_max": ("most_confident", "own", False, False, True, 5),
    "flex_attention": ("fused", "own", True, False, False, 5),
    "flex_attention_cross_manual": ("fused", "own", True, False, False, 5),
    "flex_attention_causal": ("fused", "own", True, False, False, 5),
    "flex_attention_length_corrected": ("fused", "own", True, False, False, 5),
}

VARIANTS = {
    # name: (visibility, length corrected)
    "flex_attention_cross_manual": ("cross_manual", False),
    "flex_attention_causal": ("causal", False),
    "flex_attention_length_corrected": ("isolated", True),
}

STEPS = {
    # name: (sequences, fusion, row per paraphrase, paraphrases of 5, draws)
    "paraphrases": ("first", "own", False, 1, "only"),
    "confidence": ("each", "own", True, 5, "also"),
}


def test_the_methods_are_those_of_the_design():
    assert set(METHODS) == set(TABLE)


@pytest.mark.parametrize("name", TABLE)
def test_a_method_is_its_row(name):
    m = get_method(name)
    row = (m.sequences, m.fusion, m.has_layout, m.row_per_paraphrase, m.reads_confidences)
    assert (m.name, (*row, m.num_read(5))) == (name, TABLE[name])
    assert (m.visibility, m.length_corrected) == VARIANTS.get(name, ("isolated", False))
    assert m.draws == "no"
    assert m.summary


@pytest.mark.parametrize("step", [PARAPHRASES, CONFIDENCE], ids=lambda step: step.name)
def test_a_step_is_a_row_that_no_one_compares(step):
    assert step.name not in METHODS
    assert get_method(step.name) == step
    row = (step.sequences, step.fusion, step.row_per_paraphrase, step.num_read(5), step.draws)
    assert row == STEPS[step.name]


def test_no_two_methods_are_the_same_but_for_their_names():
    assert len({replace(m, name="", summary="") for m in METHODS.values()}) == len(METHODS)


@pytest.mark.parametrize("name", ["", "AVG", "avg ", "vote"])
def test_an_unknown_method_is_refused_with_the_known_ones(name):
    with pytest.raises(UsageError, match=f"known are {', '.join(TABLE)}$") as error:
        get_method(name)
    assert repr(name) in str(error.value)
