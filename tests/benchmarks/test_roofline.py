"""Rates of a machine, the least time of decoding, the clock of a model's calls."""

import doctest
from dataclasses import replace

import pytest
import torch
from transformers import LlamaConfig

from benchmarks import roofline
from benchmarks.gpu_day.stages.engines import build_engine
from benchmarks.measure import ONCE, time_answers
from benchmarks.questions import many_questions
from benchmarks.random_llama import TOKENIZER_SIZE, llama_config, make_tokenizer, random_model
from benchmarks.roofline import Decoding, LinearShapes, StepWork, decode_seconds, prefill_rate
from benchmarks.timed_engine import ModelClock, TimedEngine
from benchmarks.workload import Workload, without_stops
from common.layout import pack_fused
from common.records import Sample

CPU = torch.device("cpu")
SMALL = Workload(paraphrases=3, examples=1, max_new_tokens=5)


@pytest.fixture(scope="module")
def questions():
    return many_questions(12)


@pytest.fixture(scope="module")
def model():
    return random_model(llama_config(tiny=True), torch.bfloat16, CPU)


@pytest.fixture
def engine(model, questions):
    tokenizer = make_tokenizer(SMALL.plain_texts(questions), TOKENIZER_SIZE, bos=True)
    return build_engine(TimedEngine, model, tokenizer, "cascade", compiled=False)


def test_the_work_of_decoding_is_that_of_all_its_steps(engine, questions):
    workload = replace(SMALL, layout="shared")
    samples = [Sample(question.paraphrases[:3]) for question in questions[:4]]
    request = without_stops(workload.request("flex_attention"))
    measured = time_answers(engine, samples, request, ONCE)
    (decoding,) = engine.decodings(measured.stats)
    pieces = workload.prompt_tokens(engine.tokenizer, samples)
    (prefix,) = {len(each.prefix) for each in pieces}
    lengths = [len(pack_fused(each, "shared", "sequential").tokens) for each in pieces]
    # The last token of a prompt is fed, and its key no longer the prompt's.
    own = sum(lengths) - 4 * (prefix + 1)
    assert decoding == Decoding(steps=5, fed=20, own_slots=own, shared_slots=prefix)
    assert measured.stats.prefill_seconds + measured.stats.decode_seconds <= measured.seconds


def test_the_example_of_a_roofline_is_true():
    assert doctest.testmod(roofline) == (0, 4)


def test_the_work_of_a_token_is_that_of_every_weight_it_meets():
    config = LlamaConfig(
        vocab_size=11, hidden_size=6, intermediate_size=10, num_hidden_layers=2,
        num_attention_heads=3, num_key_value_heads=1, head_dim=2,
    )  # fmt: skip
    shapes = LinearShapes.of(config)
    assert shapes.head == (11, 6)
    attention, feed_forward = 6 * 6 + 2 * (2 * 6) + 6 * 6, 3 * (10 * 6)
    assert shapes.prefill_flops == 2 * 2 * (attention + feed_forward)


def test_rates_are_measured_for_the_shapes_of_the_model():
    config = LlamaConfig(
        vocab_size=11, hidden_size=6, intermediate_size=10, num_hidden_layers=2,
        num_attention_heads=3,
    )  # fmt: skip
    where = (torch.float32, torch.device("cpu"))
    assert prefill_rate(config, *where) > 0
    assert decode_seconds(LinearShapes.of(config), 7, *where) > 0


def test_a_step_reads_every_linear_weight_and_the_head_once():
    config = llama_config()
    work = StepWork.of(config, torch.bfloat16)
    layer = 3072 * (3072 + 2 * 1024) + 3072 * 3072 + 3 * 3072 * 8192
    weights = 28 * layer + 128256 * 3072
    assert (work.weight_bytes, work.flops) == (2 * weights, 2 * weights)
    assert work.slot_bytes == 28 * 2 * 8 * 128 * 2
    # 3.21 billion parameters, those of the norms left out.
    assert round(weights / 1e9, 2) == 3.21


def test_the_random_model_ties_its_head_and_scales_its_rotation(model):
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert model.config.rope_parameters["rope_type"] == "llama3"
    heads, kv_heads = model.config.num_attention_heads, model.config.num_key_value_heads
    assert heads == 3 * kv_heads


def test_a_clock_counts_the_call_of_a_body_by_its_model_once(model):
    clock, tokens = ModelClock(model), torch.tensor([[5, 6, 7]])
    model.set_attn_implementation("sdpa")
    model(tokens)
    model.base_model(tokens)
    model.base_model(tokens)
    seconds = clock.take()
    assert (seconds.decode.calls, seconds.prefill.calls) == (1, 2)
    assert 0 < seconds.prefill.host <= seconds.prefill.device
    assert clock.take().prefill.calls == 0


def test_a_clock_goes_on_after_a_call_that_was_broken_off(model):
    clock = ModelClock(model)
    model.set_attn_implementation("sdpa")

    def break_off(*arguments):
        raise KeyboardInterrupt

    handle = model.base_model.layers[1].register_forward_pre_hook(break_off)
    with pytest.raises(KeyboardInterrupt):
        model(torch.tensor([[5, 6, 7]]))
    handle.remove()
    assert clock.take().decode.calls == 0
    model(torch.tensor([[5, 6, 7]]))
    assert clock.take().decode.calls == 1
