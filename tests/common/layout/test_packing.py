"""Layouts worked out by hand: the tokens, positions and groups of packed prompts."""

from dataclasses import replace

import pytest

from common.errors import SampleError
from common.layout import (
    PackedPrompt,
    PromptTokens,
    pack_fused,
    pack_plain,
)
from common.layout.packing import _place

PIECES = PromptTokens(
    bos=(7,),
    prefix=(7, 20, 21, 22),
    segments=((31,), (41, 42, 43), (51, 52)),
    cue=(8, 9),
)
WITHOUT_BOS = PromptTokens((), PIECES.prefix[1:], PIECES.segments, PIECES.cue)
BEHIND_BOS = WITHOUT_BOS.prompts
EMPTY = PromptTokens((7,), (7, 20), ((), ()), ())


def test_place_sequential_counts_through():
    prompt = _place([(1, 2), (3,), (4, 5, 6), (7,)], "sequential")
    assert prompt.starts == (0, 2, 3, 6)
    assert prompt.positions == (0, 1, 2, 3, 4, 5, 6)


def test_place_aligned_starts_segments_after_the_prefix_and_the_tail_after_the_longest():
    prompt = _place([(1, 2), (3,), (4, 5, 6), (7,)], "aligned")
    assert prompt.starts == (0, 2, 2, 5)
    assert prompt.positions == (0, 1, 2, 2, 3, 4, 5)


def test_groups_are_numbered_prefix_segments_tail():
    prompt = _place([(1, 2), (3,), (4, 5, 6), (7,)], "aligned")
    assert prompt.group_ids == (0, 0, 1, 2, 2, 2, 3)
    assert prompt.num_segments == 2
    assert prompt.tokens == (1, 2, 3, 4, 5, 6, 7)


@pytest.mark.parametrize(("positions", "first_generated"), [("sequential", 7), ("aligned", 6)])
def test_generation_goes_on_right_after_the_tail(positions, first_generated):
    prompt = _place([(1, 2), (3,), (4, 5, 6), (7,)], positions)
    assert prompt.next_position == prompt.positions[-1] + 1 == first_generated


def test_plain_prompt_is_bos_then_the_whole_prompt_at_counting_positions():
    prompt = pack_plain(PIECES, 1)
    assert prompt.tokens == (7, 20, 21, 22, 41, 42, 43, 8, 9)
    assert prompt.positions == tuple(range(9))


def test_concat_repeats_the_whole_prompt_and_holds_one_bos():
    prompt = pack_fused(PIECES, "concat", "sequential")
    assert prompt.tokens == (7, *BEHIND_BOS[0], *BEHIND_BOS[1], *BEHIND_BOS[2])
    assert prompt.tokens.count(7) == 1
    assert prompt.positions == tuple(range(22))


def test_concat_makes_the_last_token_of_the_last_prompt_the_tail():
    prompt = pack_fused(PIECES, "concat", "sequential")
    assert prompt.groups[-1] == (9,)
    assert prompt.groups[-2] == BEHIND_BOS[2][:-1]
    assert prompt.group_ids == (0, *[1] * 6, *[2] * 8, *[3] * 6, 4)


def test_concat_aligned_starts_every_prompt_after_the_bos():
    prompt = pack_fused(PIECES, "concat", "aligned")
    assert prompt.starts == (0, 1, 1, 1, 8)


def test_concat_aligned_leaves_the_last_token_of_every_prompt_to_the_tail():
    prompt = pack_fused(PIECES, "concat", "aligned")
    assert prompt.groups == ((7,), *(p[:-1] for p in BEHIND_BOS), (9,))
    longest = pack_plain(PIECES, 1)
    assert prompt.positions[-1] == longest.positions[-1]


def test_shared_holds_prefix_and_cue_once():
    prompt = pack_fused(PIECES, "shared", "aligned")
    assert prompt.groups == ((7, 20, 21, 22), *PIECES.segments, (8, 9))
    assert prompt.starts == (0, 4, 4, 4, 7)


def test_shared_sequential_counts_through_the_segments():
    assert pack_fused(PIECES, "shared", "sequential").starts == (0, 4, 5, 8, 10)


@pytest.mark.parametrize("layout", ["concat", "shared"])
@pytest.mark.parametrize("positions", ["sequential", "aligned"])
def test_without_bos_the_prompt_starts_with_the_instruction(layout, positions):
    prompt = pack_fused(WITHOUT_BOS, layout, positions)
    assert prompt.tokens[:3] == PIECES.prefix[1:]
    assert prompt.positions[:3] == (0, 1, 2)


@pytest.mark.parametrize("layout", ["concat", "shared"])
@pytest.mark.parametrize("positions", ["sequential", "aligned"])
@pytest.mark.parametrize("bos", [False, True])
def test_one_paraphrase_gives_the_plain_prompt_in_every_layout(layout, positions, bos):
    first = (7,) if bos else ()
    alone = PromptTokens(first, (*first, 20, 21), ((31, 32, 33),), (8, 9))
    assert pack_fused(alone, layout, positions) == pack_plain(alone, 0)


def test_a_prompt_of_one_token_is_all_tail():
    prompt = pack_plain(PromptTokens((), (), ((3,),), ()), 0)
    assert prompt == PackedPrompt(groups=((), (), (3,)), starts=(0, 0, 0))
    assert (prompt.tokens, prompt.positions, prompt.next_position) == ((3,), (0,), 1)


@pytest.mark.parametrize("positions", ["sequential", "aligned"])
def test_without_a_cue_the_last_token_of_the_last_segment_is_the_tail(positions):
    prompt = pack_fused(replace(PIECES, cue=()), "shared", positions)
    assert prompt.groups == (PIECES.prefix, (31,), (41, 42, 43), (51,), (52,))


def test_without_a_cue_an_empty_last_segment_leaves_the_tail_to_the_one_before():
    prompt = pack_fused(PromptTokens((), (1,), ((2, 3), ()), ()), "shared", "aligned")
    assert prompt.groups == ((1,), (2,), (), (3,))


@pytest.mark.parametrize("positions", ["sequential", "aligned"])
def test_a_shared_prompt_of_nothing_but_its_prefix_is_refused(positions):
    with pytest.raises(SampleError, match="makes no token of its paraphrases"):
        pack_fused(EMPTY, "shared", positions)


def test_a_plain_prompt_of_nothing_but_a_prefix_goes_on_from_its_end():
    assert pack_plain(EMPTY, 0).groups == ((7,), (), (20,))


@pytest.mark.parametrize("layout", ["concat", "shared"])
def test_a_prompt_without_any_token_is_refused(layout):
    with pytest.raises(SampleError, match="nothing to go on from"):
        pack_fused(PromptTokens((), (), ((), ()), ()), layout, "sequential")
