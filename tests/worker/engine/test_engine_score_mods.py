"""Biased scores: both backends equal naive attention, in one compiled graph."""

import pytest
import torch

from tests.worker.engine.families import make_config, make_model
from tests.worker.engine.packs import prefill
from worker.engine.attention.flex import FlexBackend, attend_blocks
from worker.engine.attention.mask_spec import segment_mask_spec
from worker.engine.attention.masks import create_visibility_dense_mask
from worker.engine.attention.sdpa import SdpaBackend
from worker.engine.segments import Segment
from worker.model.attention_interface import install_attention

HEADS, KV_HEADS, DIM = 9, 3, 14
PREFIX = 29
BACKENDS = {"flex": FlexBackend(), "sdpa": SdpaBackend()}


def biased_pack(lengths):
    """A prefix, segments that see it, and a tail that sees all, with a different bias each."""
    first = Segment((3,) * PREFIX, 0)
    segments = [first, *(Segment((i + 4,) * n, PREFIX, (first,)) for i, n in enumerate(lengths))]
    biases = (0.0, *(-0.7 * i - 0.3 for i in range(len(lengths))))
    segments.append(Segment((99,) * 61, PREFIX + max(lengths), tuple(segments), biases))
    return segments


def slots_of(segments):
    slots, end = {}, 0
    for segment in segments:
        slots[segment] = range(end, end := end + len(segment.tokens))
    return slots, end


def naive_bias(segments):
    """Number added to each score, -inf for an unseen key, pair by pair: float64 [T, T]."""
    slots, end = slots_of(segments)
    added = torch.full((end, end), -torch.inf, dtype=torch.float64)
    for segment, span in slots.items():
        for q in span:
            added[q, span.start : q + 1] = 0.0
            for i, seen in enumerate(segment.sees):
                bias = segment.biases[i] if segment.biases else 0.0
                added[q, slots[seen].start : slots[seen].stop] = bias
    return added


def inputs(num_q, num_kv):
    generator = torch.Generator().manual_seed(num_kv)
    query = torch.randn((1, num_q, HEADS, DIM), generator=generator).transpose(1, 2)
    shape = (1, KV_HEADS, num_kv, DIM)
    return query, *(torch.randn(shape, generator=generator) for _ in range(2))


def naive(query, key, value, added, scaling):
    repeats = query.shape[1] // key.shape[1]
    key, value = (x.double().repeat_interleave(repeats, dim=1) for x in (key, value))
    scores = torch.einsum("bhqd,bhkd->bhqk", query.double(), key) * scaling + added
    return torch.einsum("bhqk,bhkd->bhqd", scores.softmax(dim=-1), value).float()


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("lengths", [(101, 87), (101, 87, 133)], ids=["short", "long"])
@pytest.mark.parametrize("first_query", [0, PREFIX], ids=["fresh", "cached"])
def test_a_biased_mask_equals_naive_attention(name, lengths, first_query):
    segments = biased_pack(lengths)
    slots, end = slots_of(segments)
    spec = segment_mask_spec(slots, first_query, "cpu")
    backend, q_k_v = BACKENDS[name], inputs(end - first_query, end)
    with torch.inference_mode():
        mask = backend.create_mask(spec, end - first_query, end, "cpu")
        output = backend(*q_k_v, mask, 0.3)
    added = naive_bias(segments)[first_query:]
    torch.testing.assert_close(output, naive(*q_k_v, added, 0.3), atol=2e-6, rtol=1e-5)
    unbiased = naive(*q_k_v, added.masked_fill(added > -torch.inf, 0), 0.3)
    assert (output - unbiased).abs().max() > 0.01, "the control"


def test_the_dense_mask_holds_the_bias_and_nothing_else():
    segments = biased_pack((5, 3))
    slots, end = slots_of(segments)
    spec = segment_mask_spec(slots, 0, "cpu")
    dense = create_visibility_dense_mask(spec.mask_mod, end, end, "cpu", spec.score_mod)
    assert dense.dtype == torch.float32
    torch.testing.assert_close(dense[0, 0].double(), naive_bias(segments), atol=1e-6, rtol=0)


def test_segments_that_bias_nothing_have_no_score_mod():
    segments = biased_pack((5, 3))[:-1]
    assert segment_mask_spec(slots_of(segments)[0], 0, "cpu").score_mod is None


def test_flex_attention_with_a_score_mod_has_no_graph_breaks():
    slots, end = slots_of(biased_pack((101, 87, 133)))
    spec = segment_mask_spec(slots, PREFIX, "cpu")
    mask = FlexBackend().create_mask(spec, end - PREFIX, end, "cpu")
    explained = torch._dynamo.explain(attend_blocks)(*inputs(end - PREFIX, end), *mask, 0.3)
    assert explained.graph_count == 1
    assert explained.graph_break_count == 0


def test_a_biased_prefill_gives_the_same_keys_and_values_with_both_backends():
    model = make_model(make_config("mistral"))
    install_attention(model)
    segments = biased_pack((101, 87, 133))
    with torch.inference_mode():
        flex, sdpa = (prefill(model, backend, segments) for backend in BACKENDS.values())
        tail = segments[-1]
        plain = [*segments[:-1], Segment(tail.tokens, tail.start, tail.sees)]
        unbiased = prefill(model, BACKENDS["sdpa"], plain)
    torch.testing.assert_close(flex.keys, sdpa.keys, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(flex.values, sdpa.values, atol=1e-4, rtol=1e-4)
    assert (flex.keys - unbiased.keys)[:, :, -61:].abs().max() > 0.01
