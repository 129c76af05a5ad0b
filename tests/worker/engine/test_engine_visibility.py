"""Visibilities besides isolation: `causal` is plain text, `cross_manual` joins manual ones."""

from itertools import product

import pytest
import torch

from common.layout import pack_fused
from common.methods import METHODS
from common.records import Sample
from tests.worker.engine.answers import answers_of
from tests.worker.engine.families import (
    MANY,
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
from worker.model.attention_interface import install_attention
from worker.model.tokenizer import PromptTokenizer

LAYOUTS = list(product(["concat", "shared"], ["sequential", "aligned"]))
CROSS = "flex_attention_cross_manual"
NEW_TOKENS = 9


def generate(model, ids, max_new_tokens):
    """The tokens that transformers' greedy `generate` adds to a prompt."""
    prompt = torch.tensor([ids])
    with torch.inference_mode():
        output = model.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            max_new_tokens=max_new_tokens,
            do_sample=False,
        )
    return tuple(output[0, prompt.shape[1] :].tolist())


@pytest.mark.parametrize("layout", ["concat", "shared"])
def test_causal_is_generate_on_the_paraphrases_as_one_text(
    make_engine, tokenizers, plain_copy, family, bos, layout
):
    engine = make_engine(family, bos)
    model = plain_copy(engine.model)
    request = make_request("flex_attention_causal", layout=layout, max_new_tokens=NEW_TOKENS)
    for paraphrases, answer in zip(MANY, answers_of(engine, MANY, request), strict=True):
        pieces = PromptTokenizer(tokenizers[bos]).cut(request.prompt_format, paraphrases)
        n = len(pieces.bos)
        ids = [*pieces.bos, *(token for prompt in pieces.prompts for token in prompt[n:])]
        if layout == "shared":
            ids = [*pieces.prefix, *sum_of(pieces.segments), *pieces.cue]
        (got,) = answer["flex_attention_causal"]
        assert got.tokens == generate(model, ids, NEW_TOKENS)[: len(got.tokens)]
        assert got.finish_reason != "length" or len(got.tokens) == NEW_TOKENS


def sum_of(runs):
    return [token for run in runs for token in run]


def manual(number):
    return [Sample(paraphrases, num_manual=number) for paraphrases in SAMPLES]


@pytest.mark.parametrize(("layout", "positions"), LAYOUTS)
@pytest.mark.parametrize("number", [0, 1])
def test_with_less_than_two_manual_paraphrases_they_are_all_isolated(
    make_engine, bos, layout, positions, number
):
    request = make_request("flex_attention", CROSS, layout=layout, positions=positions)
    for answer in answers_of(make_engine("llama", bos), manual(number), request):
        assert answer[CROSS] == answer["flex_attention"]


@pytest.mark.parametrize(("layout", "positions"), LAYOUTS)
@pytest.mark.parametrize("number", [2, 3, 5])
def test_manual_paraphrases_that_see_each_other_answer_otherwise(
    make_engine, recorded, bos, layout, positions, number
):
    """The control; other tests compare their answers with the reference."""
    request = make_request("flex_attention", CROSS, layout=layout, positions=positions)
    answers_of(make_engine("llama", bos), manual(number), request)
    isolated, crossed = recorded[0][0], recorded[1][0]
    assert (isolated - crossed).abs().max() > 0.01


@pytest.mark.parametrize(("layout", "positions"), LAYOUTS)
def test_with_all_manual_paraphrases_the_last_one_answers_as_causal_text(
    make_engine, bos, layout, positions
):
    """Only earlier tokens are seen, so paraphrases that all see each other are plain text."""
    names = ("flex_attention_causal", CROSS)
    request = make_request(*names, layout=layout, positions=positions)
    for answer in answers_of(make_engine("qwen3", bos), manual(3), request):
        causal, crossed = (answer[name][0] for name in names)
        assert crossed.tokens == causal.tokens
        assert crossed.logprob == pytest.approx(causal.logprob, abs=1e-4)


@pytest.mark.parametrize(("layout", "positions"), LAYOUTS)
@pytest.mark.parametrize("number", [0, 1, 2, 3])
def test_any_number_of_manual_paraphrases_equals_the_reference(
    make_engine, tokenizers, compare, layout, positions, number
):
    request = make_request(CROSS, layout=layout, positions=positions)
    compare(make_engine("mistral"), tokenizers[False], manual(number), request)


@torch.inference_mode()
def prefilled(pieces, layout, backend, visibility_of=CROSS):
    """The cache of a fused sequence whose first two of four paraphrases are manual."""
    model = make_model(make_config("mistral"))
    install_attention(model)
    request = make_request(visibility_of, layout=layout, num_paraphrases=4)
    splitter = splitter_of(pieces)
    plan = plan_ensembles(pieces, request, splitter, Sample((), num_manual=2))
    cache = prefill(model, backend, distinct_segments(plan.sequences))
    assert cache.num_slots >= FLEX_MIN_TOKENS
    return cache


def changed_tokens(before, after):
    """Number of slots whose keys or values differ."""
    assert before.num_slots == after.num_slots
    pairs = zip((before.keys, before.values), (after.keys, after.values), strict=True)
    differ = sum((a != b).any(dim=-1).any(dim=0).any(dim=0).int() for a, b in pairs)
    return int((differ > 0).sum())


@pytest.mark.parametrize("backend", [SdpaBackend(), FlexBackend()], ids=["sdpa", "flex"])
@pytest.mark.parametrize("layout", ["concat", "shared"])
def test_editing_an_automatic_paraphrase_changes_its_own_keys_alone(bos, layout, backend):
    """Only the tail reads it: in the shared layout the cue's first token changes, too."""
    lengths = (83, 71, 90, 67)
    pieces = make_pieces(lengths, bos)
    before = prefilled(pieces, layout, backend)
    after = prefilled(edit(pieces, 2), layout, backend)
    own = {"concat": 90 + 2, "shared": 90 + 1}[layout]
    assert 90 <= changed_tokens(before, after) <= own


@pytest.mark.parametrize("layout", ["concat", "shared"])
def test_editing_a_manual_paraphrase_changes_the_next_manual_ones_keys(bos, layout):
    pieces = make_pieces((83, 71, 90, 67), bos)
    before = prefilled(pieces, layout, SdpaBackend())
    after = prefilled(edit(pieces, 0), layout, SdpaBackend())
    assert 83 + 71 <= changed_tokens(before, after) < 83 + 71 + 67


@pytest.mark.parametrize("name", [n for n, m in METHODS.items() if m.sequences == "fused"])
def test_no_method_changes_what_another_one_computes(make_engine, bos, name):
    """Methods share segments only if their tables agree."""
    fused = [n for n, m in METHODS.items() if m.sequences == "fused"]
    engine = make_engine("llama", bos)
    (alone,) = answers_of(engine, manual(2)[:1], make_request(name))
    (together,) = answers_of(engine, manual(2)[:1], make_request(*fused))
    assert together[name][0].tokens == alone[name][0].tokens


def test_a_packed_prompt_is_the_literal_one(bos):
    """The prompt of `generate` in the tests above follows from the layout's definition."""
    pieces = make_pieces((4, 9, 3), bos)
    n = len(pieces.bos)
    assert list(pack_fused(pieces, "concat", "sequential").tokens) == [
        *pieces.bos,
        *sum_of(prompt[n:] for prompt in pieces.prompts),
    ]
