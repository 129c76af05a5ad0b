"""The cut of whole prompts, by its definition, over prompts of any tokens."""

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.layout import PromptTokens, common_prefix, cut_frame, cut_prompts

tokens = st.lists(st.integers(0, 2), max_size=6).map(tuple)
"""Few different tokens, so that prompts agree by accident, too."""

prompts = st.lists(tokens, min_size=1, max_size=4)


@pytest.mark.parametrize(
    ("a", "b", "wanted"),
    [
        ((), (1,), ()),
        ((1, 2), (1, 2), (1, 2)),
        ((1, 2), (1, 2, 3), (1, 2)),
        ((1, 2, 3), (1, 2), (1, 2)),
        ((4, 2), (1, 2), ()),
    ],
)
def test_common_prefix_is_what_both_begin_with(a, b, wanted):
    assert common_prefix(a, b) == wanted


@given(probes=prompts, sample=prompts)
def test_prefix_segment_and_cue_are_the_whole_prompt(probes, sample):
    assert cut_prompts(cut_frame(probes, ()), sample).prompts == tuple(sample)


@given(probes=prompts, sample=prompts)
def test_prefix_and_cue_are_the_longest_that_frame_and_sample_allow(probes, sample):
    frame = cut_frame(probes, ())
    cut = cut_prompts(frame, sample)
    assert frame.head[: len(cut.prefix)] == cut.prefix
    assert frame.tail[len(frame.tail) - len(cut.cue) :] == cut.cue
    one_more = frame.head[: len(cut.prefix) + 1]
    assert one_more == cut.prefix or any(p[: len(one_more)] != one_more for p in sample)
    longer = frame.tail[len(frame.tail) - len(cut.cue) - 1 :]
    assert len(cut.cue) == len(frame.tail) or any(
        p[len(cut.prefix) :][-len(longer) :] != longer for p in sample
    )


@given(probes=prompts, sample=prompts)
def test_the_order_of_a_samples_paraphrases_moves_no_cut(probes, sample):
    frame = cut_frame(probes, ())
    cuts = [cut_prompts(frame, order) for order in permutations(sample)]
    assert len({(cut.prefix, cut.cue) for cut in cuts}) == 1


def test_prefix_and_cue_do_not_overlap_in_the_prompt_of_an_empty_paraphrase():
    """Both begin and end with 5, and this prompt has one of them."""
    frame = cut_frame([(5, 1, 5), (5, 2, 5)], ())
    assert cut_prompts(frame, [(5,), (5, 3, 5)]) == PromptTokens((), (5,), ((), (3, 5)), ())


def test_a_beginning_that_only_a_samples_own_paraphrases_share_stays_in_its_segments():
    frame = cut_frame([(7, 1, 9), (7, 2, 9)], (7,))
    cut = cut_prompts(frame, [(7, 3, 4, 9), (7, 3, 5, 9)])
    assert cut == PromptTokens((7,), (7,), ((3, 4), (3, 5)), (9,))


def test_tokens_that_a_tokenizer_adds_are_no_bos_of_prompts_that_begin_without_them():
    """A chat template writes its own first tokens."""
    frame = cut_frame([(3, 1), (3, 2)], (7,))
    assert frame.bos == ()
    assert cut_prompts(frame, [(3, 4)]).bos == ()
