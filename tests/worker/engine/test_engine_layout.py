"""Layouts worked out by hand: the tokens, positions and groups of packed prompts."""

import pytest

from common.layout import (
    PackedPrompt,
    PromptTokens,
    pack_concat,
    pack_fused,
    pack_plain,
    place,
)
from tests.worker.engine.families import make_pieces

PIECES = PromptTokens(
    bos=(7,),
    prefix=(20, 21, 22),
    segments=((31,), (41, 42, 43), (51, 52)),
    cue=(8, 9),
    prompts=((20, 21, 22, 31, 8, 9), (20, 21, 22, 41, 42, 43, 8, 9), (20, 21, 22, 51, 52, 8, 9)),
)
WITHOUT_BOS = PromptTokens((), PIECES.prefix, PIECES.segments, PIECES.cue, PIECES.prompts)


def test_place_sequential_counts_through():
    prompt = place([(1, 2), (3,), (4, 5, 6), (7,)], "sequential")
    assert prompt.starts == (0, 2, 3, 6)
    assert prompt.positions == (0, 1, 2, 3, 4, 5, 6)


def test_place_aligned_starts_segments_after_the_prefix_and_the_tail_after_the_longest():
    prompt = place([(1, 2), (3,), (4, 5, 6), (7,)], "aligned")
    assert prompt.starts == (0, 2, 2, 5)
    assert prompt.positions == (0, 1, 2, 2, 3, 4, 5)


def test_groups_are_numbered_prefix_segments_tail():
    prompt = place([(1, 2), (3,), (4, 5, 6), (7,)], "aligned")
    assert prompt.group_ids == (0, 0, 1, 2, 2, 2, 3)
    assert prompt.num_segments == 2
    assert prompt.tokens == (1, 2, 3, 4, 5, 6, 7)


@pytest.mark.parametrize(("positions", "first_generated"), [("sequential", 7), ("aligned", 6)])
def test_generation_goes_on_right_after_the_tail(positions, first_generated):
    prompt = place([(1, 2), (3,), (4, 5, 6), (7,)], positions)
    assert prompt.next_position == prompt.positions[-1] + 1 == first_generated


def test_plain_prompt_is_bos_then_the_whole_prompt_at_counting_positions():
    prompt = pack_plain(PIECES, 1)
    assert prompt.tokens == (7, 20, 21, 22, 41, 42, 43, 8, 9)
    assert prompt.positions == tuple(range(9))


def test_concat_repeats_the_whole_prompt_and_holds_one_bos():
    prompt = pack_fused(PIECES, "concat", "sequential")
    assert prompt.tokens == (7, *PIECES.prompts[0], *PIECES.prompts[1], *PIECES.prompts[2])
    assert prompt.tokens.count(7) == 1
    assert prompt.positions == tuple(range(22))


def test_concat_makes_the_last_token_of_the_last_prompt_the_tail():
    prompt = pack_fused(PIECES, "concat", "sequential")
    assert prompt.groups[-1] == (9,)
    assert prompt.groups[-2] == PIECES.prompts[2][:-1]
    assert prompt.group_ids == (0, *[1] * 6, *[2] * 8, *[3] * 6, 4)


def test_concat_aligned_starts_every_prompt_after_the_bos():
    prompt = pack_fused(PIECES, "concat", "aligned")
    assert prompt.starts == (0, 1, 1, 1, 9)


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
    assert prompt.tokens[:3] == PIECES.prefix
    assert prompt.positions[:3] == (0, 1, 2)


@pytest.mark.parametrize("layout", ["concat", "shared"])
@pytest.mark.parametrize("positions", ["sequential", "aligned"])
@pytest.mark.parametrize("bos", [False, True])
def test_one_paraphrase_gives_the_plain_prompt_in_every_layout(layout, positions, bos):
    pieces = make_pieces((5,), bos)
    assert pack_fused(pieces, layout, positions) == pack_plain(pieces, 0)


def test_a_prompt_of_one_token_is_all_tail():
    prompt = pack_concat((), [(3,)], "sequential")
    assert prompt == PackedPrompt(groups=((), (), (3,)), starts=(0, 0, 0))
    assert (prompt.tokens, prompt.positions, prompt.next_position) == ((3,), (0,), 1)
