"""Cascade attention gives what attention over all keys gives, eagerly and compiled.

Grouped queries 3:1, odd lengths, with and without cached keys.
"""

import pytest
import torch
from test_engine_backends import PACKS, assert_naive

from common.methods import METHODS
from tests.worker.engine.families import MANY, SAMPLES, make_request
from worker.engine import kv_cache
from worker.engine.attention.cascade import Own, cascade, compiled_cascade, shared_keys
from worker.engine.attention.cascade_prefill import CascadeBackend, compiled_attend_rows
from worker.engine.compiled import compile_layers
from worker.engine.decode_ops import compiled_ops
from worker.engine.rope import rotate

BACKENDS = {"eager": CascadeBackend(), "compiled": CascadeBackend(compiled_attend_rows())}
ATTEND = {"eager": cascade, "compiled": compiled_cascade()}


@pytest.mark.parametrize("cached", [False, True], ids=["fresh", "cached"])
@pytest.mark.parametrize("name", [*PACKS, "longer_than_a_block"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_prefill_by_cascade_equals_naive_attention(backend, name, cached):
    lengths, prefix = PACKS.get(name, ((613, 5, 257), 31))
    assert_naive(BACKENDS[backend], lengths, prefix, cached)


@pytest.fixture
def no_short_packs(monkeypatch):
    """Every pack goes to the engine's backend, however short."""
    monkeypatch.setattr(kv_cache, "FLEX_MIN_TOKENS", 1)


@pytest.mark.parametrize("layout", ["concat", "shared"])
@pytest.mark.parametrize("method", METHODS)
def test_logits_and_tokens_by_cascade_equal_the_reference(
    make_engine, tokenizers, compare, family, bos, layout, method, no_short_packs
):
    engine = make_engine(family, bos, engine={"backend": CascadeBackend()})
    compare(engine, tokenizers[bos], SAMPLES, make_request(method, layout=layout))


@pytest.mark.parametrize("method", ["avg", "max", "flex_attention"])
def test_logits_and_tokens_of_a_compiled_engine_equal_the_reference(
    make_engine, tokenizers, compare, method, no_short_packs
):
    options = {"backend": BACKENDS["compiled"], "ops": compiled_ops()}
    engine = make_engine("mistral", engine=options)
    compile_layers(engine.model)
    compare(engine, tokenizers[False], MANY, make_request(method))


def written_out(query, shared, own):
    """Cascade in float64, row by row: moved copies of shared keys, own keys, one softmax."""
    rows = []
    for row in range(len(query)):
        keys, values, bias = [own.keys[row]], [own.values[row]], [own.bias[row, 0]]
        for offset in range(shared.bias.shape[1]):
            cos, sin = (t[row, offset] for t in shared.rotation)
            keys.append(rotate(shared.keys, cos, -sin))
            values.append(shared.values)
            bias.append(shared.bias[row, offset])
        key, value, added = torch.cat(keys, 1), torch.cat(values, 1), torch.cat(bias)
        scores = torch.einsum("hgqd,hkd->hgqk", query[row].double(), key.double()) + added
        rows.append(torch.einsum("hgqk,hkd->hgqd", scores.softmax(dim=-1), value.double()))
    return torch.stack(rows).float()


def decoding(rows=7, kv_heads=3, group=3, dim=14, num_offsets=2, num_shared=11, num_own=5):
    """Random rows that read the shared keys at two offsets, some keys at one of them only."""
    generator = torch.Generator().manual_seed(rows)

    def random(*shape):
        return torch.randn(shape, generator=generator)

    angle = random(rows, num_offsets, dim // 2).repeat(1, 1, 2)
    bias = random(rows, num_offsets, num_shared)
    bias[:, 0, ::3] = -torch.inf
    rotation = angle.cos(), angle.sin()
    keys, values = random(2, kv_heads, num_shared, dim)
    own = Own(
        *random(2, rows, kv_heads, num_own + 1, dim)[..., :num_own, :], random(rows, 1, num_own)
    )
    return random(rows, kv_heads, group, 1, dim), shared_keys(keys, values, bias, rotation), own


@pytest.mark.parametrize("attend", ATTEND)
def test_a_shared_key_seen_at_two_offsets_counts_as_two_keys(attend):
    query, shared, own = decoding()
    output = ATTEND[attend](query, shared, own)
    torch.testing.assert_close(output, written_out(query, shared, own), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("number", [0, 1])
def test_filling_up_shared_keys_changes_nothing(number):
    query, shared, own = decoding(num_shared=number)
    assert shared.keys.shape[1] == 2
    alone = written_out(
        query,
        shared._replace(
            bias=shared.bias[..., :number],
            keys=shared.keys[:, :number],
            values=shared.values[:, :number],
        ),
        own,
    )
    torch.testing.assert_close(cascade(query, shared, own), alone, atol=1e-5, rtol=1e-5)


def test_compiled_decoding_takes_a_single_row_too():
    query, shared, own = decoding(rows=1)
    torch.testing.assert_close(
        ATTEND["compiled"](query, shared, own), cascade(query, shared, own), atol=1e-6, rtol=1e-6
    )
