"""Paraphrases do not see each other, and with aligned positions their order does not matter."""

from itertools import permutations

import pytest
import torch

from common.layout import pack_fused
from common.visibility import generate_isolated_visibility
from tests.worker.engine.answers import answers_of
from tests.worker.engine.families import (
    SAMPLES,
    edit,
    make_config,
    make_model,
    make_pieces,
    make_request,
    splitter_of,
)
from tests.worker.engine.packs import distinct_segments, prefill
from worker.engine.attention.backend import FLEX_MIN_TOKENS
from worker.engine.attention.flex import FlexBackend
from worker.engine.attention.sdpa import SdpaBackend
from worker.engine.planning import plan_ensembles
from worker.engine.segments import PrefixSplitter, plan_sequence
from worker.model.attention_interface import install_attention

LENGTHS = (101, 87, 93)
LAYOUTS = ["concat", "shared"]
POSITIONS = ["sequential", "aligned"]


@torch.inference_mode()
def compute(model, backend, pieces, request):
    splitter = splitter_of(pieces)
    segments = distinct_segments(plan_ensembles(pieces, request, splitter).sequences)
    return prefill(model, backend, segments)


def keys_and_values(cache, segment):
    span = cache.slots[segment]
    return torch.stack([x[:, :, span.start : span.stop] for x in (cache.keys, cache.values)])


@pytest.mark.parametrize("backend", [SdpaBackend(), FlexBackend()], ids=["sdpa", "flex"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("positions", POSITIONS)
def test_editing_one_paraphrase_leaves_the_others_keys_unchanged(bos, layout, positions, backend):
    model = make_model(make_config("mistral"))
    install_attention(model)
    request = make_request("flex_attention", layout=layout, positions=positions)
    pieces = make_pieces(LENGTHS, bos)
    before = compute(model, backend, pieces, request)
    after = compute(model, backend, edit(pieces, 0), request)
    assert before.num_slots == after.num_slots >= FLEX_MIN_TOKENS
    kept = [segment for segment in before.slots if segment in after.slots]
    assert sum(len(segment.tokens) for segment in kept) >= sum(LENGTHS[1:])
    for segment in kept:
        assert keys_and_values(before, segment).equal(keys_and_values(after, segment))
    assert edited(before, after)


def edited(before, after):
    """Whether the edited paraphrase has other segments, with other keys and values."""
    pairs = zip(before.slots, after.slots, strict=True)
    changed = [(a, b) for a, b in pairs if a != b]
    return bool(changed) and not any(
        keys_and_values(before, a).equal(keys_and_values(after, b)) for a, b in changed
    )


def test_a_paraphrase_that_may_see_another_has_other_keys(bos):
    """The control of the test above: the table keeps paraphrases apart."""
    model = make_model(make_config("mistral"))
    install_attention(model)
    pieces = make_pieces(LENGTHS, bos)
    prompt = pack_fused(pieces, "shared", "aligned")
    open_table = generate_isolated_visibility(3)
    open_table[2, 1] = True
    computed = []
    for visible in (generate_isolated_visibility(3), open_table):
        sequence = plan_sequence(prompt, visible, PrefixSplitter((), True))
        cache = prefill_all(model, sequence)
        computed.append(keys_and_values(cache, sequence.refs[2].segment))
    isolated, seeing = computed
    assert isolated.shape == seeing.shape
    torch.testing.assert_close(isolated[:, 0], seeing[:, 0])
    assert (isolated[:, 1:] - seeing[:, 1:]).abs().max() > 0.01


@torch.inference_mode()
def prefill_all(model, sequence):
    return prefill(model, SdpaBackend(), distinct_segments([sequence]))


@pytest.fixture
def fused(make_engine, recorded):
    """Tokens and logits of the fused sequence for paraphrases in several orders."""

    def run(orders, family, bos, **options):
        request = make_request("flex_attention", **options)
        engine, results = make_engine(family, bos), []
        for order in orders:
            recorded.clear()
            ((answer,),) = (a.values() for a in answers_of(engine, [order], request))
            results.append((answer[0].tokens, torch.stack(recorded[0])))
        return results

    return run


@pytest.mark.parametrize("layout", LAYOUTS)
def test_with_aligned_positions_every_order_answers_alike(fused, family, bos, layout):
    """Keys and values carry no order, and no paraphrase has the tail's token."""
    orders = list(permutations(SAMPLES[0]))
    first, *others = fused(orders, family, bos, layout=layout, positions="aligned")
    for tokens, logits in others:
        assert tokens == first[0]
        torch.testing.assert_close(logits, first[1], atol=1e-4, rtol=0)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_with_sequential_positions_the_order_does_matter(fused, family, bos, layout):
    """The control: with sequential positions the keys of paraphrases carry their order."""
    a, b, c = SAMPLES[0]
    first, moved = fused(
        [(a, b, c), (b, a, c)], family, bos, layout=layout, positions="sequential"
    )
    assert (moved[1][0] - first[1][0]).abs().max() > 0.01
