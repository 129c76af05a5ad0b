"""The canary finds every fault that is planted, and nothing where there is none."""

import re
from dataclasses import replace

import pytest
import torch

from common.errors import StopRun
from common.visibility import VISIBILITIES
from tests.worker.engine.families import FAMILIES, make_config, make_model, make_tokenizer
from tests.worker.engine.other_families import LATENT, NO_KV_HEADS, build
from tests.worker.engine.planted_faults import FAULTS, another_rope_base, wrong_scale
from worker.engine import canary
from worker.engine.attention.cascade import cascade
from worker.engine.attention.cascade_prefill import CascadeBackend
from worker.engine.attention.flex import FlexBackend
from worker.engine.attention.sdpa import SdpaBackend
from worker.engine.canary import FLOAT32_BOUND, case_error, check_engine, row_errors
from worker.engine.canary_outputs import engine_outputs, own_output
from worker.engine.canary_prompts import invent_cases
from worker.engine.compilation import EAGER
from worker.engine.engine import Engine
from worker.engine.prefix_tree import Pack
from worker.engine.sampler import pick_best
from worker.engine.segments import PrefixSplitter, plan_sequence
from worker.model.attention_interface import NAME
from worker.model.geometry import geometry_of

HALVES = {"bfloat16": torch.bfloat16, "float16": torch.float16}


def engine_of(model, backend=None):
    return Engine(model, make_tokenizer(False), backend or CascadeBackend())


@torch.inference_mode()
def errors_of(engine):
    cases = canary._cases(engine)
    outputs = engine_outputs(engine, cases)
    return [
        case_error(one.logits, own_output(engine.model, case, one.tokens).logits)
        for case, one in zip(cases, outputs, strict=True)
    ]


@pytest.mark.parametrize("backend", [CascadeBackend, SdpaBackend, FlexBackend])
def test_an_engine_without_fault_passes_with_every_backend(family, backend):
    assert "6 prompts differ by" in check_engine(
        engine_of(make_model(make_config(family)), CascadeBackend())
    )
    engine = engine_of(make_model(make_config(family)), backend())
    assert max(errors_of(engine)) < FLOAT32_BOUND / 100


OTHERS = {
    "gpt2": NO_KV_HEADS,
    "gpt_neox": NO_KV_HEADS,
    "opt": NO_KV_HEADS | {"ffn_dim": 64, "word_embed_proj_dim": 64},
    "deepseek_v3": LATENT,
    "qwen3_moe": {},
    "granite": {},
    "gemma3_text": {"head_dim": 16},
}


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("dtype", ["float32", *HALVES])
def test_other_families_pass_in_every_dtype(name, dtype):
    check_engine(engine_of(build(name, **OTHERS[name]).to(getattr(torch, dtype))))


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_planted_fault_stops_the_run_with_ten_times_the_bound(monkeypatch, family, fault):
    engine = engine_of(make_model(make_config(family)))
    fault(monkeypatch.setattr)
    assert max(errors_of(engine)) > 10 * FLOAT32_BOUND
    with pytest.raises(StopRun, match=f"first in layer 0 .* by .*|{FLOAT32_BOUND:g}"):
        check_engine(engine)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_most_planted_faults_are_found_in_bfloat16_too(monkeypatch, name, fault):
    """The margin is smaller there: keys moved by angles of another base may pass."""
    engine = engine_of(make_model(make_config(name)).to(torch.bfloat16))
    fault(monkeypatch.setattr)
    if fault is another_rope_base:
        assert max(errors_of(engine)) > 0.05
        return
    with pytest.raises(StopRun, match="rounding in bfloat16 gives"):
        check_engine(engine)


def test_the_sentence_tells_what_was_compared_where_by_how_much_and_the_bound(monkeypatch):
    engine = engine_of(make_model(make_config("llama")))
    wrong_scale(monkeypatch.setattr)
    with pytest.raises(StopRun) as caught:
        check_engine(engine)
    assert re.fullmatch(
        r"LlamaForCausalLM cannot be used here: for unrelated prompts in one row the engine's "
        r"logits differ from those of transformers' own eager attention by 0\.\d+ of their "
        r"standard deviation, where rounding in float32 gives at most 0\.001; hidden states "
        r"differ first in layer 0 \(LlamaDecoderLayer\), by 0\.\d+",
        str(caught.value),
    )


def test_a_fault_of_one_layer_is_placed_in_it(monkeypatch):
    engine = engine_of(make_model(make_config("llama")))
    attention = engine.model.base_model.layers[2].self_attn
    original = attention.forward

    def forward(*args, **kwargs):
        ours = attention.config._attn_implementation == NAME
        monkeypatch.setattr(attention, "scaling", 0.5 if ours else 6**-0.5)
        return original(*args, **kwargs)

    monkeypatch.setattr(attention, "forward", forward)
    with pytest.raises(StopRun, match=r"differ first in layer 2 \(LlamaDecoderLayer\)"):
        check_engine(engine)


def test_a_model_is_as_it_was_afterwards(family):
    engine = engine_of(make_model(make_config(family)))
    before = {name: weight.clone() for name, weight in engine.model.state_dict().items()}
    check_engine(engine)
    assert engine.model.config._attn_implementation == NAME
    assert not any(layer._forward_hooks for layer in engine.model.base_model.layers)
    torch.testing.assert_close(dict(engine.model.state_dict()), before, rtol=0, atol=0)


def test_the_model_gets_its_attention_back_where_its_own_fails(monkeypatch):
    engine = engine_of(make_model(make_config("llama")))
    monkeypatch.setattr(canary, "own_output", fails_in(canary.own_output, engine.model))
    with pytest.raises(RuntimeError, match="out of paper"):
        check_engine(engine)
    assert engine.model.config._attn_implementation == NAME


def fails_in(original, model):
    def fail(*args, **kwargs):
        def forward(*_, **__):
            raise RuntimeError("out of paper")

        model.forward = forward
        return original(*args, **kwargs)

    return fail


def test_a_model_with_positions_for_no_prompt_is_refused():
    model = make_model(make_config("llama", max_position_embeddings=4))
    with pytest.raises(StopRun, match="too few positions for any prompt: 4"):
        check_engine(engine_of(model))


@pytest.mark.parametrize("positions", [9, 31, 47, 499])
def test_prompts_that_the_model_has_no_positions_for_are_left_out(positions):
    model = make_model(make_config("llama", max_position_embeddings=positions))
    check_engine(engine_of(model))


def test_errors_are_relative_to_the_spread_and_blind_to_what_all_share():
    wanted = torch.tensor([[0.0, 1.0, 2.0], [0.0, 10.0, 20.0]])
    computed = torch.tensor([[1.0, 2.0, 4.0], [0.0, 10.0, 21.0]])
    errors = row_errors(computed, wanted)
    torch.testing.assert_close(errors, torch.tensor([3**-0.5, 3**-0.5 / 10]))
    assert row_errors(wanted + 5, wanted).max() < 1e-6


def test_entries_that_a_model_excludes_must_be_the_same():
    wanted = torch.tensor([[0.0, 1.0, 2.0, -torch.inf]])
    assert row_errors(wanted, wanted).item() == 0
    assert row_errors(torch.tensor([[0.0, 1.0, -torch.inf, 3.0]]), wanted).isnan().all()
    assert row_errors(torch.tensor([[0.0, torch.nan, 2.0, -torch.inf]]), wanted).isnan().all()


@pytest.mark.parametrize(("own", "bound"), [(0.0, 0.05), (0.03, 0.15), (0.4, 0.5)])
def test_the_bound_in_half_precision_follows_the_model_s_own_rounding(monkeypatch, own, bound):
    engine = engine_of(make_model(make_config("llama")).to(torch.bfloat16))
    monkeypatch.setattr(canary, "own_output", lambda *_, **__: engine_outputs(engine, cases)[0])
    monkeypatch.setattr(canary, "case_error", lambda computed, expected: own)
    cases = canary._cases(engine)[:1]
    with torch.inference_mode():
        eager = engine_outputs(engine, cases)
        assert canary._bound(engine.model, cases, eager) == pytest.approx(bound)


@pytest.mark.parametrize("number", [41, 307, 1000, 32_000, 50_257])
def test_the_row_is_long_enough_for_a_backend_that_leaves_short_ones_to_another(number):
    """Common beginnings are computed once, and decoding computes each prompt's last token."""
    sizes = replace(geometry_of(make_model(make_config("llama"))), num_ids=number)
    cases = invent_cases(replace(sizes, vocabulary=number), FlexBackend().min_pack)
    pack = Pack(())
    for case in cases:
        visible = VISIBILITIES[case.method.visibility](case.prompt.num_segments, 0)
        pack.add([plan_sequence(case.prompt, visible, PrefixSplitter((case.shared,), True))])
    assert pack.num_new_tokens >= FlexBackend().min_pack


def test_two_rows_decode_with_moved_keys(monkeypatch):
    """One row alone would run as written, whatever was compiled."""
    engine, rows = engine_of(make_model(make_config("llama"))), set()

    def noted(query, *keys, rotation=None, **options):
        rows.add((len(query), rotation is not None))
        return cascade(query, *keys, rotation=rotation, **options)

    engine.runner.ops = EAGER._replace(attend=noted)
    check_engine(engine)
    assert {moved for number, moved in rows if number > 1} == {True, False}


@pytest.mark.parametrize("window", [64, None])
def test_a_model_with_windows_is_compared_within_and_past_them(window):
    engine = engine_of(make_model(make_config("mistral", sliding_window=window)))
    *near, everything = canary._rows(engine)
    assert len(near) == (window is not None)
    for row in near:
        assert max(case.prompt.next_position for case in row) + 3 <= window
        assert {case.name for case in row} < {case.name for case in everything}


@pytest.mark.parametrize("fusion", ["own", "mean_logits", "max_probability", "weighted_mean"])
def test_a_wrong_choice_of_a_token_stops_the_run(fusion):
    def wrong(logits, name, weights, forced):
        tokens, logprobs = pick_best(logits, name, weights, forced)
        return (tokens + 1 if name == fusion else tokens), logprobs

    engine = engine_of(make_model(make_config("llama")))
    engine.runner.ops = EAGER._replace(pick_best=wrong)
    with pytest.raises(StopRun, match=f"by {fusion} the engine picks|logits differ"):
        check_engine(engine)
