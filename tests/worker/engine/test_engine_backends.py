"""Backends: flex, sdpa and a naive attention with repeated keys give the same output.

Grouped queries 3:1, odd lengths, packs above and below FLEX_MIN_TOKENS, with and without
cached keys before the first query. Compiled for one head layout: compiling takes seconds.
"""

import pytest
import torch

from tests.worker.engine.families import make_config, make_model, make_tokenizer
from tests.worker.engine.packs import prefill
from worker.engine.attention.backend import FLEX_MIN_TOKENS
from worker.engine.attention.flex import FlexBackend, attend_blocks
from worker.engine.attention.mask_spec import segment_mask_spec
from worker.engine.attention.masks import create_visibility_dense_mask
from worker.engine.attention.sdpa import SdpaBackend
from worker.engine.canary import check_engine
from worker.engine.engine import Engine
from worker.engine.segments import Segment
from worker.model.attention_interface import install_attention

HEADS, KV_HEADS, DIM = 9, 3, 14
BACKENDS = {"flex": FlexBackend(), "sdpa": SdpaBackend()}


def pack(lengths, prefix):
    """Slots of a prefix and of segments that see it; every second one sees the one before, too."""
    first = Segment((3,) * prefix, 0)
    segments = [first]
    for i, length in enumerate(lengths):
        sees = (first, segments[-1]) if i % 2 else (first,)
        segments.append(Segment((i + 4,) * length, prefix, sees))
    slots, end = {}, 0
    for segment in segments:
        slots[segment] = range(end, end := end + len(segment.tokens))
    return slots, end


def inputs(num_q, num_kv, heads=HEADS, kv_heads=KV_HEADS, dim=DIM):
    """Random queries, keys and values, with the strides that a model passes."""
    generator = torch.Generator().manual_seed(num_kv)
    query = torch.randn((1, num_q, heads, dim), generator=generator).transpose(1, 2)
    shape = (1, kv_heads, num_kv, dim)
    return query, *(torch.randn(shape, generator=generator) for _ in range(2))


def naive(query, key, value, mask, scaling):
    """Explicit softmax in float64, with every key repeated for the queries that share it."""
    repeats = query.shape[1] // key.shape[1]
    key, value = (x.double().repeat_interleave(repeats, dim=1) for x in (key, value))
    scores = torch.einsum("bhqd,bhkd->bhqk", query.double(), key) * scaling
    scores = scores.masked_fill(~mask, -torch.inf)
    return torch.einsum("bhqk,bhkd->bhqd", scores.softmax(dim=-1), value).float()


@torch.inference_mode()
def run(backend, slots, end, first_query, q, k, v, scaling=0.3):
    spec = segment_mask_spec(slots, first_query, "cpu")
    return backend(q, k, v, backend.create_mask(spec, end - first_query, end, "cpu"), scaling)


PACKS = {
    "below": ((17, 23, 5), 13),
    "one_below": ((FLEX_MIN_TOKENS - 14,), 13),
    "at": ((101, FLEX_MIN_TOKENS - 101), 29),
    "above": ((101, 87, 133), 29),
    "far_above": ((11,) * 89, 29),
    "long_prefix": ((11,) * 89, 259),
}


@pytest.mark.parametrize("cached", [False, True], ids=["fresh", "cached"])
@pytest.mark.parametrize("name", PACKS)
def test_sdpa_equals_naive_attention(name, cached):
    assert_naive(BACKENDS["sdpa"], *PACKS[name], cached)


@pytest.mark.parametrize("name", ["one_below", "at", "above", "far_above", "long_prefix"])
def test_flex_attention_equals_naive_attention(name):
    assert_naive(BACKENDS["flex"], *PACKS[name], cached=True)


def assert_naive(backend, lengths, prefix, cached):
    slots, end = pack(lengths, prefix)
    first_query = prefix if cached else 0
    q, k, v = inputs(end - first_query, end)
    mask_mod = segment_mask_spec(slots, first_query, "cpu").mask_mod
    mask = create_visibility_dense_mask(mask_mod, end - first_query, end, "cpu")
    output = run(backend, slots, end, first_query, q, k, v)
    torch.testing.assert_close(output, naive(q, k, v, mask, 0.3), atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("lengths", [(101, 87), (101, 87, 133)], ids=["short", "long"])
def test_prefill_gives_the_same_keys_and_values_with_both_backends(lengths):
    model = make_model(make_config("mistral"))
    install_attention(model)
    segments = list(pack(lengths, 29)[0])
    with torch.inference_mode():
        flex, sdpa = (prefill(model, backend, segments) for backend in BACKENDS.values())
    assert flex.slots == sdpa.slots
    torch.testing.assert_close(flex.keys, sdpa.keys, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(flex.values, sdpa.values, atol=1e-4, rtol=1e-4)


def test_flex_attention_has_no_graph_breaks():
    slots, end = pack((101, 87, 133), 29)
    mask = FlexBackend().create_mask(segment_mask_spec(slots, 29, "cpu"), end - 29, end, "cpu")
    explained = torch._dynamo.explain(attend_blocks)(*inputs(end - 29, end), *mask, 0.3)
    assert explained.graph_count == 1
    assert explained.graph_break_count == 0


def compiled_graphs():
    return torch._dynamo.utils.counters["stats"]["unique_graphs"]


LENGTHS = [((33,) * 21, 259), ((101, 87, 133), 29), ((257,), 29), ((131, 7, 301), 131)]


def test_one_compilation_serves_all_lengths():
    """Counted for a head layout that no other test compiles."""
    before = compiled_graphs()
    for lengths, prefix in LENGTHS:
        slots, end = pack(lengths, prefix)
        run(BACKENDS["flex"], slots, end, prefix, *inputs(end - prefix, end, 3, 1, 18))
        assert compiled_graphs() == before + 1


def test_the_canary_compiles_all_that_prefill_uses():
    """The head layout is one that no other test compiles."""
    engine = Engine(
        make_model(make_config("mistral", head_dim=22)), make_tokenizer(False), BACKENDS["flex"]
    )
    check_engine(engine)
    compiled = compiled_graphs()
    with torch.inference_mode():
        for lengths, prefix in LENGTHS:
            first, *segments = pack(lengths, prefix)[0]
            cache = prefill(engine.model, SdpaBackend(), [first])
            prefill(engine.model, BACKENDS["flex"], segments, cache)
    assert compiled_graphs() == compiled
