"""Cascade attention gives what attention over all keys gives, eagerly and compiled.

Grouped queries 3:1, odd lengths, with and without cached keys.
"""

import pytest
import torch
from test_engine_backends import PACKS, assert_naive

from common.methods import METHODS
from tests.worker.engine.families import MANY, SAMPLES, make_request
from worker.engine.attention.cascade import cascade, pad_prefix
from worker.engine.attention.cascade_prefill import CASCADE, CascadeBackend
from worker.engine.compilation import COMPILED, compile_layers, compiled_cascade
from worker.model.rope import rotate

BACKENDS = {"eager": CASCADE, "compiled": CASCADE.compiled()}
ATTEND = {"eager": cascade, "compiled": compiled_cascade}


@pytest.mark.parametrize("cached", [False, True], ids=["fresh", "cached"])
@pytest.mark.parametrize("name", [*PACKS, "longer_than_a_block"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_prefill_by_cascade_equals_naive_attention(backend, name, cached):
    lengths, prefix = PACKS.get(name, ((613, 5, 257), 31))
    assert_naive(BACKENDS[backend], lengths, prefix, cached)


@pytest.fixture
def no_short_packs(monkeypatch):
    """Every pack goes to the engine's backend, however short."""
    monkeypatch.setattr(CascadeBackend, "min_pack", 0)


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
    options = {"backend": BACKENDS["compiled"], "ops": COMPILED}
    engine = make_engine("mistral", engine=options)
    compile_layers(engine.model)
    compare(engine, tokenizers[False], MANY, make_request(method))


def written_out(query, rotation, prefix, suffix, softcap=None):
    """Cascade in float64, row by row: moved copies of prefix keys, suffix keys, one softmax."""
    rows = []
    (keys, values, bias), (suffix_keys, suffix_values, suffix_bias) = prefix, suffix
    for row in range(len(query)):
        seen, read, added = [suffix_keys[row]], [suffix_values[row]], [suffix_bias[row]]
        for offset in range(bias.shape[2]):
            cos, sin = (t[row, offset] for t in rotation)
            seen.append(rotate(keys, cos, -sin))
            read.append(values)
            added.append(bias[row, :, offset])
        key, value = torch.cat(seen, 1), torch.cat(read, 1)
        scores = torch.einsum("hgqd,hkd->hgqk", query[row].double(), key.double())
        scores = scores if softcap is None else softcap * (scores / softcap).tanh()
        weights = (scores + torch.cat(added, -1)).softmax(dim=-1)
        rows.append(torch.einsum("hgqk,hkd->hgqd", weights, value.double()))
    return torch.stack(rows).float()


def decoding(rows=7, queries=1, num_prefix=11, kv_heads=3, group=3, dim=14, num_offsets=2):
    """Random rows that read the prefix at two offsets, some keys at one of them only.

    Returns query, rotation, prefix and suffix; prefix and suffix are keys, values and bias.
    """
    generator = torch.Generator().manual_seed(rows)

    def random(*shape):
        return torch.randn(shape, generator=generator)

    angle = random(rows, num_offsets, dim // 2).repeat(1, 1, 2)
    bias = random(rows, queries, num_offsets, num_prefix)
    bias[:, :, 0, ::3] = -torch.inf
    keys, values = random(2, kv_heads, num_prefix, dim)
    # A slice of a larger cache, as in decoding.
    suffix_keys, suffix_values = random(2, rows, kv_heads, 6, dim)[..., :5, :]
    suffix = suffix_keys, suffix_values, random(rows, queries, 5)
    query = random(rows, kv_heads, group, queries, dim)
    return query, (angle.cos(), angle.sin()), (keys, values, bias), suffix


@pytest.mark.parametrize(("queries", "softcap"), [(1, None), (5, 1.7)])
@pytest.mark.parametrize("attend", ATTEND)
def test_a_prefix_key_seen_at_two_offsets_counts_as_two_keys(attend, queries, softcap):
    query, rotation, prefix, suffix = decoding(queries=queries)
    output = ATTEND[attend](query, *prefix, *suffix, rotation=rotation, softcap=softcap)
    wanted = written_out(query, rotation, prefix, suffix, softcap)
    torch.testing.assert_close(output, wanted, atol=1e-5, rtol=1e-5)


def test_one_bias_for_all_queries_of_a_row_equals_a_bias_for_each():
    query, rotation, (keys, values, bias), (*suffix, suffix_bias) = decoding(queries=5)
    one, suffix_one = bias[:, :1], suffix_bias[:, :1]
    repeated = keys, values, one.repeat(1, 5, 1, 1), *suffix, suffix_one.repeat(1, 5, 1)
    torch.testing.assert_close(
        cascade(query, keys, values, one, *suffix, suffix_one, rotation=rotation),
        cascade(query, *repeated, rotation=rotation),
    )


def test_scores_are_capped_before_biases_are_added():
    """An unseen key stays unseen, and a bias larger than the cap keeps its size."""
    query, rotation, (keys, values, bias), suffix = decoding()
    bias = bias + 40.0
    output = cascade(query, keys, values, bias, *suffix, rotation=rotation, softcap=1.7)
    wanted = written_out(query, rotation, (keys, values, bias), suffix, softcap=1.7)
    torch.testing.assert_close(output, wanted, atol=1e-5, rtol=1e-5)
    uncapped = cascade(query, keys, values, bias, *suffix, rotation=rotation)
    assert (output - uncapped).abs().max() > 0.1, "the control"


@pytest.mark.parametrize("number", [0, 1])
def test_padding_the_prefix_changes_nothing(number):
    query, rotation, prefix, suffix = decoding(num_prefix=number)
    padded = pad_prefix(*prefix)
    assert [padded[0].shape[1], padded[1].shape[1], padded[2].shape[-1]] == [2, 2, 2]
    output = cascade(query, *padded, *suffix, rotation=rotation)
    wanted = written_out(query, rotation, prefix, suffix)
    torch.testing.assert_close(output, wanted, atol=1e-5, rtol=1e-5)


def test_compiled_decoding_takes_a_single_row_too():
    query, rotation, prefix, suffix = decoding(rows=1)
    compiled, eager = (
        ATTEND[name](query, *prefix, *suffix, rotation=rotation) for name in ("compiled", "eager")
    )
    torch.testing.assert_close(compiled, eager, atol=1e-6, rtol=1e-6)
