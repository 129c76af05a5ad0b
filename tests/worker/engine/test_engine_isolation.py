"""Paraphrases do not see each other, and with aligned positions their order does not matter."""

from itertools import permutations

import pytest
import torch

from common.layout import PromptTokens, pack_fused
from common.visibility import generate_isolated_visibility
from tests.worker.engine.families import (
    SAMPLES,
    VOCABULARY,
    make_config,
    make_model,
    make_pieces,
    make_request,
)
from worker.engine.attention import FLEX_MIN_TOKENS, FlexBackend, SdpaBackend, install_attention
from worker.engine.kv_cache import KVCache, prefill
from worker.engine.plan import PrefixSplitter, distinct_segments, plan_sequence
from worker.engine.sample import plan_sample

LENGTHS = (101, 87, 93)
LAYOUTS = ["concat", "shared"]
POSITIONS = ["sequential", "aligned"]


def edit(pieces, paraphrase):
    """A copy whose paraphrase has other tokens, as many as before."""
    segment = tuple((token + 1) % VOCABULARY for token in pieces.segments[paraphrase])
    segments, prompts = list(pieces.segments), list(pieces.prompts)
    segments[paraphrase], prompts[paraphrase] = segment, pieces.prefix + segment + pieces.cue
    return PromptTokens(pieces.bos, pieces.prefix, tuple(segments), pieces.cue, tuple(prompts))


@torch.inference_mode()
def compute(model, backend, pieces, request):
    splitter = PrefixSplitter((pieces.bos, pieces.prefix), True)
    segments = distinct_segments(plan_sample(pieces, request, splitter).sequences)
    return prefill(model, backend, segments, KVCache.empty(model))


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
    return prefill(model, SdpaBackend(), distinct_segments([sequence]), KVCache.empty(model))


@pytest.fixture
def fused(make_engine, recorded):
    """Tokens and logits of the fused sequence for paraphrases in several orders."""

    def run(orders, family, bos, **options):
        request = make_request("flex_attention", **options)
        engine, results = make_engine(family, bos), []
        for order in orders:
            recorded.clear()
            ((answer,),) = (a.values() for a in engine.answer([order], request))
            results.append((answer[0].tokens, torch.stack(recorded[0])))
        return results

    return run


def test_with_shared_layout_and_aligned_positions_every_order_answers_alike(fused, family, bos):
    orders = list(permutations(SAMPLES[0]))
    first, *others = fused(orders, family, bos, layout="shared", positions="aligned")
    for tokens, logits in others:
        assert tokens == first[0]
        torch.testing.assert_close(logits, first[1], atol=1e-4, rtol=0)


def test_with_concat_layout_the_order_of_all_but_the_last_does_not_matter(fused, family, bos):
    """The fusing query is the last token of the last prompt, whose content it holds.

    The other prompts are read as keys and values only, which carry no order if positions are
    aligned.
    """
    a, b, c = SAMPLES[0]
    orders = [(a, b, c), (b, a, c), (c, b, a)]
    first, moved, other = fused(orders, family, bos, layout="concat", positions="aligned")
    assert moved[0] == first[0]
    torch.testing.assert_close(moved[1], first[1], atol=1e-4, rtol=0)
    assert (other[1][0] - first[1][0]).abs().max() > 0.01


@pytest.mark.parametrize("layout", LAYOUTS)
def test_with_sequential_positions_the_order_does_matter(fused, family, bos, layout):
    """The control: with sequential positions the keys of paraphrases carry their order."""
    a, b, c = SAMPLES[0]
    first, moved = fused(
        [(a, b, c), (b, a, c)], family, bos, layout=layout, positions="sequential"
    )
    assert (moved[1][0] - first[1][0]).abs().max() > 0.01
