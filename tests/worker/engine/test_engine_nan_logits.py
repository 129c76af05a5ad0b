"""NaN logits are an error of their sample, never token 0."""

import math
import re
from dataclasses import replace

import pytest
import torch

from common.errors import SampleError, StopRun
from common.methods import CONFIDENCE
from common.run import SamplingParams
from tests.worker.engine.answers import answers_of
from tests.worker.engine.families import MANY, SAMPLES, make_request
from worker.engine.attention.cascade_prefill import CascadeBackend
from worker.engine.model_runner import ModelRunner
from worker.engine.nan_logits import refuse_nan
from worker.engine.outputs import Generation
from worker.model.geometry import _read

METHODS = ("origin", "per_prompt", "avg", "max", "majority", "flex_attention")


@pytest.fixture
def spoil(monkeypatch):
    """Makes logits NaN (or another value) in rows that feed a token, from some step on."""
    original = ModelRunner.logits

    def spoiled(value, entries=slice(None), feeds=lambda bucket: slice(None)):
        def logits(runner, bucket):
            rows = feeds(bucket)
            computed = original(runner, bucket).clone()
            computed[rows, entries] = value
            return computed

        monkeypatch.setattr(ModelRunner, "logits", logits)

    return spoiled


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("entries", [slice(None), slice(3, 4), slice(306, 307)])
def test_one_logit_that_is_no_number_in_every_row_stops_the_run(
    make_engine, spoil, value, entries
):
    engine = make_engine()
    spoil(value, entries)
    with pytest.raises(StopRun, match=r"in float32 are not numbers \(NaN\) for any of 2 samples"):
        answers_of(engine, SAMPLES, make_request(*METHODS))


def test_the_dtype_is_in_the_sentence(make_engine, spoil):
    engine = make_engine()
    spoil(math.nan)
    (answer,) = answers_of(engine, SAMPLES[:1], make_request(*METHODS))
    for name in METHODS:
        assert re.search(r"in float32 are not numbers \(NaN\) at token 0", str(answer[name]))


@pytest.mark.parametrize("method", METHODS)
def test_a_sample_whose_logits_are_no_numbers_costs_no_neighbour_its_answer(
    make_engine, spoil, method
):
    request = make_request(method, few_shot=(), max_new_tokens=3)
    long = ("tell me " * 30 + "who?",) * 3
    wanted = answers_of(make_engine(), SAMPLES, request)
    spoil(math.nan, feeds=lambda bucket: bucket.positions > 100)
    first, bad, second = answers_of(make_engine(), [SAMPLES[0], long, SAMPLES[1]], request)
    assert isinstance(bad[method], SampleError)
    for got, expected in zip([first, second], wanted, strict=True):
        assert [g.tokens for g in got[method]] == [g.tokens for g in expected[method]]


def test_a_later_token_is_named(make_engine, spoil):
    seen = []
    spoil(math.nan, feeds=lambda bucket: slice(None) if seen.append(0) or len(seen) > 2 else [])
    request = make_request("origin", max_new_tokens=4)
    (answer,) = answers_of(make_engine(), [MANY[3]], request)
    assert "at token 2 of the answer" in str(answer["origin"])


def test_a_drawn_answer_is_checked_too(make_engine, spoil):
    spoil(math.nan)
    sampling = SamplingParams(num_draws=3, temperature=0.7, top_p=0.9)
    request = make_request("origin", sampling=sampling)
    request = replace(request, methods=(CONFIDENCE,))
    (answer,) = answers_of(make_engine(), SAMPLES[:1], request)
    assert isinstance(answer[CONFIDENCE.name], SampleError)


@pytest.mark.parametrize("entries", [slice(0, 1), slice(100, 300)])
def test_tokens_that_a_model_excludes_are_no_error(make_engine, spoil, entries):
    spoil(-math.inf, entries)
    answers = answers_of(make_engine(), SAMPLES, make_request(*METHODS))
    assert not any(isinstance(outcome, SampleError) for a in answers for outcome in a.values())


def test_weights_that_are_no_numbers_stop_the_run_when_the_engine_is_built(make_engine):
    engine = make_engine()
    with torch.no_grad():
        engine.model.base_model.layers[1].mlp.up_proj.weight.fill_(math.nan)
    with pytest.raises(StopRun, match=r"LlamaForCausalLM in float32 are not numbers \(NaN\)"):
        _read(engine.model)


def test_errors_that_were_there_before_are_kept_and_counted_for_nothing():
    good = Generation((5,), (-0.5,), "length")
    bad = Generation((0,), (math.nan,), "length")
    early = SampleError("it has no paraphrase")
    answers = [{"origin": [good]}, {"origin": early}, {"origin": [good, bad]}]
    first, second, third = refuse_nan(answers, "float16")
    assert (first, second) == (answers[0], answers[1])
    assert "in float16" in str(third["origin"])
    with pytest.raises(StopRun, match="any of 2 samples"):
        refuse_nan([{"origin": early}, {"avg": [bad]}, {"avg": [bad]}], "float16")


class EveryPack(CascadeBackend):
    """Computes short packs, too; SDPA would spread NaN over a pack by itself."""

    min_pack = 0


@pytest.mark.parametrize("method", ["per_prompt", "avg", "flex_attention"])
def test_keys_that_are_no_numbers_cost_no_neighbour_its_answer(make_engine, tokenizers, method):
    """The spoiled sample is the first of its pack, and longer than the others."""
    request = make_request(method)
    wanted = answers_of(make_engine(engine={"backend": EveryPack()}), SAMPLES, request)
    engine = make_engine(engine={"backend": EveryPack()})
    (token,) = tokenizers[False]("Z", add_special_tokens=False)["input_ids"]
    with torch.no_grad():
        engine.model.get_input_embeddings().weight[token] = math.nan
    spoiled = ("Z is it, or not?", "is it Z, or not?", "it is Z, or not?")
    bad, *good = answers_of(engine, [spoiled, *SAMPLES], request)
    assert isinstance(bad[method], SampleError)
    for got, known in zip(good, wanted, strict=True):
        assert [g.tokens for g in got[method]] == [g.tokens for g in known[method]]
