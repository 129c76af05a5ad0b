"""Plans: they see exactly what the packed prompt defines, and compute shared parts once."""

from collections import Counter
from dataclasses import replace
from itertools import product

import pytest
import torch

from common.layout import pack_fused, pack_plain
from common.visibility import generate_isolated_visibility
from tests.worker.engine.families import make_pieces, make_request, splitter_of
from tests.worker.engine.packs import distinct_segments
from worker.engine.planning import plan_ensembles
from worker.engine.segments import (
    PrefixSplitter,
    Segment,
    SegmentRef,
    at_own_position,
    plan_sequence,
)

LAYOUTS = list(product(["concat", "shared"], ["sequential", "aligned"]))


def defined(prompt, visible):
    """Each token that the tail sees, with all tokens it sees itself, by the definition."""
    tokens, groups = list(zip(prompt.tokens, prompt.positions, strict=True)), prompt.group_ids
    seen = Counter()
    for q, token in enumerate(tokens[:-1]):
        if visible[groups[-1], groups[q]]:
            keys = [tokens[k] for k in range(q + 1) if visible[groups[q], groups[k]]]
            seen[token, tuple(sorted(keys))] += 1
    return seen


def planned(sequence):
    """Each token that a planned sequence sees, with all tokens it sees itself."""
    seen = Counter()
    for ref in sequence.refs:
        before = [t for s in ref.segment.sees for t in tokens_of(s, ref.offset)]
        own = tokens_of(ref.segment, ref.offset)
        for i, token in enumerate(own):
            seen[token, tuple(sorted(before + own[: i + 1]))] += 1
    return seen


def tokens_of(segment, offset):
    return [(token, segment.start + offset + i) for i, token in enumerate(segment.tokens)]


def make_table(name, num_segments):
    visible = generate_isolated_visibility(num_segments)
    if name == "all_see_all":
        visible[:] = True
    if name == "one_left_out":
        visible[-1, 2] = False
    return visible


@pytest.mark.parametrize("cut", [0, 5, 7], ids="cut_at_{}".format)
@pytest.mark.parametrize("movable", [False, True], ids=["fixed", "movable"])
@pytest.mark.parametrize("table", ["isolated", "all_see_all", "one_left_out"])
@pytest.mark.parametrize(("layout", "positions"), LAYOUTS)
def test_a_sequence_sees_what_the_packed_prompt_defines(
    bos, layout, positions, table, movable, cut
):
    pieces = make_pieces((3, 11, 6), bos)
    prompt = pack_fused(pieces, layout, positions)
    visible = make_table(table, prompt.num_segments)
    rest = pieces.prefix[len(pieces.bos) :]
    splitter = PrefixSplitter((pieces.bos, rest[:cut]), movable)
    sequence = plan_sequence(prompt, visible, splitter)
    assert planned(sequence) == defined(prompt, visible)
    assert (sequence.token, sequence.position) == (prompt.tokens[-1], prompt.positions[-1])


def test_segments_come_after_those_they_see_and_only_once(bos):
    plans = [plan_of((4, 9, 2), bos, make_request(layout=layout)) for layout, _ in LAYOUTS]
    segments = distinct_segments([s for plan in plans for s in plan.sequences])
    assert len(set(segments)) == len(segments)
    for number, segment in enumerate(segments):
        assert set(segment.sees) <= set(segments[:number])


def test_a_ref_at_its_own_position_moves_all_that_it_sees():
    first = Segment((1, 2), 0)
    second = Segment((3,), 2, (first,))
    moved = Segment((1, 2), 5)
    assert at_own_position(SegmentRef(second, 5)) == SegmentRef(Segment((3,), 7, (moved,)), 0)


def plan_of(lengths, bos, request, seed=0):
    pieces = make_pieces(lengths, bos, seed=seed)
    return plan_ensembles(pieces, request, splitter_of(pieces))


@pytest.mark.parametrize(("layout", "positions"), LAYOUTS)
def test_methods_that_decode_each_paraphrase_share_their_sequences(bos, layout, positions):
    options = {"layout": layout, "positions": positions}
    alone = plan_of((4, 9, 2), bos, make_request("per_prompt", **options))
    together = plan_of((4, 9, 2), bos, make_request("per_prompt", "avg", "max", **options))
    assert set(together.sequences) == set(alone.sequences)


def test_equal_paraphrases_are_one_ensemble_but_answer_twice(bos):
    pieces = make_pieces((5,), bos)
    twice = replace(pieces, segments=pieces.segments * 2)
    plan = plan_ensembles(twice, make_request("per_prompt"), PrefixSplitter((), True))
    assert len(plan.ensembles) == 1
    assert plan.by_method["per_prompt"] == plan.ensembles * 2


def test_origin_asks_for_the_first_paraphrase_alone(bos):
    plan = plan_of((4, 9, 2), bos, make_request("origin"))
    pieces = make_pieces((4, 9, 2), bos)
    splitter = splitter_of(pieces)
    wanted = plan_sequence(pack_plain(pieces, 0), generate_isolated_visibility(1), splitter)
    assert plan.sequences == [wanted]


def test_equal_segments_hash_alike():
    tokens = tuple(torch.arange(9).tolist())
    pair = [Segment(tokens, 2, (Segment((1,), 0),)) for _ in range(2)]
    assert hash(pair[0]) == hash(pair[1])
    assert len(set(pair)) == 1
