"""Sliding windows and capped scores: masks and backends equal their definitions, pair by pair.

The reference's eager forward is the model's own; here attention alone is written out in float64.
"""

import pytest
import torch
from test_engine_backends import compiled_graphs
from test_engine_score_mods import PREFIX, biased_pack, inputs, naive_bias, slots_of

from common.errors import StopRun
from worker.engine.attention.cascade_prefill import CASCADE
from worker.engine.attention.flex import FLEX
from worker.engine.attention.mask_spec import segment_mask_spec
from worker.engine.attention.masks import create_visibility_dense_mask
from worker.engine.attention.sdpa import SDPA

LENGTHS = (101, 87, 133)


def written_bias(segments, window):
    """Number added to each score, -inf for an unseen key, pair by pair: float64 [T, T]."""
    position = [segment.start + i for segment in segments for i in range(len(segment.tokens))]
    added = naive_bias(segments)
    for q, at in enumerate(position):
        for k, other in enumerate(position):
            if window is not None and at - other >= window:
                added[q, k] = -torch.inf
    return added


def written_out(query, key, value, added, softcap):
    """Explicit softmax in float64 of scores that are capped first and biased then."""
    repeats = query.shape[1] // key.shape[1]
    key, value = (x.double().repeat_interleave(repeats, dim=1) for x in (key, value))
    scores = torch.einsum("bhqd,bhkd->bhqk", query.double(), key) * 0.3
    scores = scores if softcap is None else softcap * (scores / softcap).tanh()
    return torch.einsum("bhqk,bhkd->bhqd", (scores + added).softmax(dim=-1), value).float()


@torch.inference_mode()
def compute(backend, segments, first_query, window, softcap):
    slots, end = slots_of(segments)
    spec = segment_mask_spec(slots, first_query, "cpu", window)
    mask = backend.create_mask(spec, end - first_query, end, "cpu")
    return backend(*inputs(end - first_query, end), mask, 0.3, softcap)


def assert_written_out(backend, segments, first_query, window, softcap):
    output = compute(backend, segments, first_query, window, softcap)
    _, end = slots_of(segments)
    q_k_v, added = inputs(end - first_query, end), written_bias(segments, window)[first_query:]
    wanted = written_out(*q_k_v, added, softcap)
    torch.testing.assert_close(output, wanted, atol=2e-6, rtol=1e-5)


WINDOWS = [1, 29, 61, 131, 222, 223, 10_000]
"""The positions of a pack are 0 to 222."""


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("first_query", [0, PREFIX, PREFIX + 101])
def test_a_windowed_dense_mask_is_the_table_by_position(window, first_query):
    segments = biased_pack(LENGTHS)
    slots, end = slots_of(segments)
    spec = segment_mask_spec(slots, first_query, "cpu", window)
    dense = create_visibility_dense_mask(
        spec.mask_mod, end - first_query, end, "cpu", spec.score_mod
    )
    wanted = written_bias(segments, window)[first_query:]
    torch.testing.assert_close(dense[0, 0].double(), wanted, atol=1e-6, rtol=0)


@pytest.mark.parametrize("window", [222, 223, None])
def test_a_window_that_no_two_slots_exceed_is_left_out(window):
    spec = segment_mask_spec(slots_of(biased_pack(LENGTHS))[0], 0, "cpu", window)
    assert spec.window == (222 if window == 222 else None)


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("first_query", [0, PREFIX, PREFIX + 101])
def test_sdpa_sees_what_the_window_holds(window, first_query):
    assert_written_out(SDPA, biased_pack(LENGTHS), first_query, window, None)


@pytest.mark.parametrize("softcap", [None, 0.9])
@pytest.mark.parametrize("window", [*WINDOWS, None])
@pytest.mark.parametrize("first_query", [0, PREFIX, PREFIX + 101])
def test_cascade_sees_what_the_window_holds_and_caps_scores(window, first_query, softcap):
    assert_written_out(CASCADE, biased_pack(LENGTHS), first_query, window, softcap)


def test_cascade_cuts_a_segment_longer_than_a_block_by_position():
    assert_written_out(CASCADE, biased_pack((613, 5)), PREFIX, 211, 0.9)


def test_compiled_cascade_sees_what_the_window_holds_and_caps_scores():
    assert_written_out(CASCADE.compiled(), biased_pack(LENGTHS), PREFIX, 61, 0.9)


def test_one_compilation_of_flex_attention_serves_all_windows_and_caps():
    assert_written_out(FLEX, biased_pack(LENGTHS), PREFIX, 61, 1.7)
    graphs = compiled_graphs()
    for window, softcap in [(45, 0.9), (131, 30.0)]:
        assert_written_out(FLEX, biased_pack(LENGTHS), PREFIX, window, softcap)
    assert compiled_graphs() == graphs


@pytest.mark.parametrize(("window", "softcap"), [(61, None), (None, 0.9)])
def test_a_window_and_a_cap_each_change_the_output(window, softcap):
    """The control of the tests above."""
    segments = biased_pack(LENGTHS)
    plain = compute(CASCADE, segments, PREFIX, None, None)
    assert (compute(CASCADE, segments, PREFIX, window, softcap) - plain).abs().max() > 0.01


def test_sdpa_says_that_it_cannot_cap_scores():
    assert SDPA.cannot_compute(None) is None
    with pytest.raises(StopRun, match=r"sdpa cannot cap scores, here at 30; set SELF_ENSEMBLE_"):
        compute(SDPA, biased_pack(LENGTHS), PREFIX, None, 30.0)
