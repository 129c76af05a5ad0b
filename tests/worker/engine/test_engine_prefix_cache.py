"""The prefix cache: one prefill of the head serves prompts that begin with a part of it, too."""

from itertools import product

import pytest
import torch

from common.layout import common_prefix
from common.prompts import Template
from tests.worker.engine.answers import answers_of
from tests.worker.engine.families import (
    FEW_SHOT,
    FORMAT,
    make_config,
    make_model,
    make_request,
    watch_fed_tokens,
)
from tests.worker.engine.packs import prefill
from worker.engine.attention.sdpa import SdpaBackend
from worker.engine.prefix_cache import CachedPrefix, prefix_segments, prefix_splitter
from worker.model.attention_interface import install_attention
from worker.model.tokenizer import PromptTokenizer

LAYOUTS = list(product(["concat", "shared"], ["sequential", "aligned"]))

MELTS = Template(instruction="Say one word.", question="A{question}\n")
"""The tiny tokenizer has a token `An`, so a question that begins with `n` takes the `A` away."""

SAMPLES = [
    ("nn is it?", "7 is it?", "it"),
    ("Rome is 7?", "in Rome?", "tell me, or not"),
    ("nn wrote it?", "n is the one", "nn?"),
]


@pytest.mark.parametrize(("layout", "positions"), LAYOUTS)
@pytest.mark.parametrize("method", ["flex_attention", "per_prompt"])
def test_samples_with_shorter_prefixes_equal_the_reference(
    make_engine, tokenizers, compare, bos, method, layout, positions
):
    tokenizer = PromptTokenizer(tokenizers[bos])
    request = make_request(method, template=MELTS, layout=layout, positions=positions)
    lengths = [len(tokenizer.cut(request.prompt_format, s).prefix) for s in SAMPLES]
    assert lengths == [lengths[1] - 1, lengths[1], lengths[1] - 1]
    compare(make_engine("llama", bos), tokenizers[bos], SAMPLES, request)


def test_a_sample_with_a_shorter_prefix_answers_alike_alone_and_beside_others(make_engine, bos):
    request = make_request("flex_attention", "per_prompt", template=MELTS, layout="shared")
    engine = make_engine("qwen3", bos)
    together = answers_of(engine, SAMPLES, request)
    for sample, answers in zip(SAMPLES, together, strict=True):
        (alone,) = answers_of(engine, [sample], request)
        for method in answers:
            for one, other in zip(alone[method], answers[method], strict=True):
                assert one.tokens == other.tokens


def test_a_shorter_prefix_is_read_from_the_head_and_not_computed_again(make_engine, tokenizers):
    engine, request = make_engine(), make_request("per_prompt", template=MELTS)
    tokenizer = PromptTokenizer(tokenizers[False])
    answers_of(engine, SAMPLES[1:2], request)
    fed = watch_fed_tokens(engine.model)
    answers_of(engine, SAMPLES[:1], request)
    head = tokenizer.frame(request.prompt_format).head
    prompts = tokenizer.cut(request.prompt_format, SAMPLES[0]).prompts
    known = [len(common_prefix(head, prompt)) for prompt in prompts]
    assert fed[0] == sum(map(len, prompts)) - sum(known) - len(prompts)
    assert sorted(known) == [len(head) - 1, len(head), len(head)]


@torch.inference_mode()
def computed(model, splitter):
    return prefill(model, SdpaBackend(), prefix_segments(splitter))


@pytest.mark.parametrize("ends", [{5}, {3, 8}, {1, 2, 3}])
def test_a_prefix_cut_in_more_segments_has_the_keys_that_these_would_have(tokenizers, bos, ends):
    model = make_model(make_config("mistral"))
    install_attention(model)
    splitter = prefix_splitter(PromptTokenizer(tokenizers[bos]).frame(FORMAT), True)
    cut = CachedPrefix(splitter, computed(model, splitter)).cut_at(ends)
    anew = computed(model, cut.splitter)
    assert cut.cache.slots == anew.slots
    assert len(cut.cache.slots) == len(ends | ({1} if bos else set())) + 1
    torch.testing.assert_close(cut.cache.keys, anew.keys, atol=1e-5, rtol=0)
    torch.testing.assert_close(cut.cache.values, anew.values, atol=1e-5, rtol=0)


def test_a_prefix_cut_at_its_ends_is_the_same_prefix(tokenizers, bos):
    model = make_model(make_config("llama"))
    install_attention(model)
    frame = PromptTokenizer(tokenizers[bos]).frame(FORMAT)
    splitter = prefix_splitter(frame, True)
    prefix = CachedPrefix(splitter, computed(model, splitter))
    assert prefix.cut_at({0, len(frame.head)}) is prefix
    assert FORMAT.few_shot == FEW_SHOT
