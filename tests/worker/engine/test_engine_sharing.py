"""Nothing is computed twice: exact numbers of tokens that a plan prefills.

Pieces hold a prefix of 7 tokens, the given segments and a cue of 2. The last token of a
prompt is fed by decoding, not by prefill. Prefix and BOS are cached: not counted.
"""

from dataclasses import replace

import pytest

from tests.worker.engine.answers import answers_of
from tests.worker.engine.families import (
    SAMPLES,
    make_pieces,
    make_request,
    splitter_of,
    watch_fed_tokens,
)
from tests.worker.engine.packs import cut_sequences, distinct_segments
from worker.engine.planning import plan_ensembles
from worker.engine.stats import EngineStats

PREFIX, CUE = 7, 2


def new_tokens(bos, request, *samples, movable=True):
    """Number of tokens that samples add to BOS and prefix."""
    splitter = splitter_of(samples[0], movable)
    plans = [plan_ensembles(pieces, request, splitter) for pieces in samples]
    sequences = cut_sequences([s for plan in plans for s in plan.sequences], ())
    segments = distinct_segments(list(sequences.values()))
    return sum(len(s.tokens) for s in segments) - len(samples[0].bos) - PREFIX


def test_plain_prompts_prefill_the_tokens_after_the_prefix(bos):
    pieces = make_pieces((4, 9, 3), bos)
    wanted = (4 + 9 + 3) + 3 * (CUE - 1)
    assert new_tokens(bos, make_request("per_prompt"), pieces) == wanted


def test_methods_on_plain_prompts_prefill_them_once(bos):
    pieces = make_pieces((4, 9, 3), bos)
    together = make_request("origin", "per_prompt", "avg", "max")
    alone = new_tokens(bos, make_request("per_prompt"), pieces)
    assert new_tokens(bos, together, pieces) == alone


@pytest.mark.parametrize("movable", [False, True], ids=["fixed", "movable"])
def test_aligned_copies_of_the_prefix_are_one(bos, movable):
    pieces = make_pieces((4, 9, 3), bos)
    request = make_request("flex_attention", positions="aligned")
    wanted = (4 + 9 + 3) + 3 * (CUE - 1)
    assert new_tokens(bos, request, pieces, movable=movable) == wanted


def test_sequential_copies_without_bos_are_the_prefix_moved():
    pieces = make_pieces((4, 9, 3), bos=False)
    wanted = (4 + 9 + 3) + 3 * CUE - 1
    assert new_tokens(False, make_request("flex_attention"), pieces) == wanted


def test_sequential_copies_after_a_bos_are_computed_where_they_stand():
    pieces = make_pieces((4, 9, 3), bos=True)
    wanted = (4 + 9 + 3) + 3 * CUE - 1 + 2 * PREFIX
    assert new_tokens(True, make_request("flex_attention"), pieces) == wanted


def test_sequential_copies_of_keys_that_may_not_move_are_computed_where_they_stand():
    pieces = make_pieces((4, 9, 3), bos=False)
    wanted = (4 + 9 + 3) + 3 * CUE - 1 + 2 * PREFIX
    request = make_request("flex_attention")
    assert new_tokens(False, request, pieces, movable=False) == wanted


@pytest.mark.parametrize(("second", "copies"), [((4, 9, 5), 2), ((4, 8, 5), 3), ((3, 8, 5), 4)])
def test_samples_share_copies_of_the_prefix_that_stand_at_equal_positions(second, copies):
    """Copies stand after the first and after the second prompt of each sample."""
    samples = make_pieces((4, 9, 3), bos=True), with_prefix_of((4, 9, 3), second)
    rest = (4 + 9 + 3) + sum(second) + 2 * (3 * CUE - 1)
    assert new_tokens(True, make_request("flex_attention"), *samples) == rest + copies * PREFIX


def with_prefix_of(first, lengths):
    """Another sample with the same prefix and other paraphrases."""
    pieces = make_pieces((*first, *lengths), bos=True)
    n = len(first)
    return replace(pieces, prefix=make_pieces(first, True).prefix, segments=pieces.segments[n:])


@pytest.mark.parametrize(
    ("has_bos", "positions", "added"),
    [(False, "sequential", 2), (False, "aligned", 0), (True, "aligned", 0)],
)
def test_fused_prompts_add_at_most_last_tokens_to_plain_ones(has_bos, positions, added):
    """A plain prompt's last token is decoded; a fused sequence may need its key prefilled."""
    pieces = make_pieces((4, 9, 3), has_bos)
    together = make_request("flex_attention", "per_prompt", "avg", "max", positions=positions)
    alone = new_tokens(has_bos, make_request("per_prompt"), pieces)
    assert new_tokens(has_bos, together, pieces) == alone + added


def test_shared_layout_adds_only_the_cue_to_plain_prompts(bos):
    pieces = make_pieces((4, 9, 3), bos)
    options = {"layout": "shared", "positions": "aligned"}
    alone = new_tokens(bos, make_request("per_prompt", **options), pieces)
    together = make_request("flex_attention", "per_prompt", **options)
    assert new_tokens(bos, together, pieces) == alone + CUE - 1


def test_the_engine_counts_the_tokens_it_prefilled(make_engine, family):
    engine = make_engine(family)
    fed, counts = watch_fed_tokens(engine.model), EngineStats()
    answers_of(engine, SAMPLES, make_request(max_new_tokens=1), counts)
    cached, *packs, _ = fed
    assert cached > 0
    assert counts.prefill_tokens == sum(packs) > 0


def test_the_second_call_does_not_compute_the_prefix_again(make_engine, bos):
    engine = make_engine(bos=bos)
    fed, request = watch_fed_tokens(engine.model), make_request(max_new_tokens=1)
    first = answers_of(engine, SAMPLES, request)
    calls = list(fed)
    assert answers_of(engine, SAMPLES, request) == first
    assert fed == [*calls, *calls[1:]]


def test_another_request_computes_its_own_prefix(make_engine):
    engine = make_engine()
    few, none = make_request(), make_request(few_shot=())
    answers_of(engine, SAMPLES, few)
    fed = watch_fed_tokens(engine.model)
    changed = answers_of(engine, SAMPLES, none)
    assert 0 < fed[0] < 20
    assert changed == answers_of(make_engine(), SAMPLES, none)
