"""The attention function refuses what it does not compute, and never goes causal instead."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from transformers import BloomConfig, GptOssConfig, MambaConfig

from common.errors import SampleError, StopRun
from tests.worker.engine.answers import answers_of
from tests.worker.engine.families import (
    known,
    make_config,
    make_model,
    make_request,
    packed_prompts,
)
from worker.model.attention_interface import LayerCall, attention_forward, install_attention
from worker.model.geometry import geometry_of
from worker.model.layer_calls import LayerCalls

SIZES = {
    "vocab_size": 307,
    "hidden_size": 36,
    "num_hidden_layers": 1,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "head_dim": 6,
}


class Context:
    """Returns the values; records how the layer wants its scores."""

    def attend(self, call, query, key, value):
        self.call = call
        return value.repeat_interleave(3, dim=1)


def layer(number=0):
    module = nn.Identity()
    module.layer_idx = number
    return module


def call(context, **options):
    query, value = torch.randn(1, 6, 5, 4), torch.randn(1, 2, 5, 4)
    output = attention_forward(
        layer(3), query, value, value, None, scaling=0.7, context=context, **options
    )
    return value, output


def test_the_context_attends_and_heads_come_last_but_one():
    context = Context()
    value, (output, weights) = call(context)
    assert context.call == LayerCall(3, 0.7, None, None)
    assert output.equal(value.repeat_interleave(3, dim=1).transpose(1, 2))
    assert output.is_contiguous()
    assert weights is None


def test_a_call_without_context_is_refused():
    with pytest.raises(StopRun, match="without an attention context"):
        call(None)


def test_a_patched_model_called_as_usual_is_refused(family):
    model = make_model(make_config(family))
    install_attention(model)
    with pytest.raises(StopRun, match="without an attention context"):
        model(input_ids=torch.tensor([[1, 5, 7]]))


CHANGES = ["s_aux", "position_bias", "head_mask", "indices", "block_indices", "sinks"]


@pytest.mark.parametrize("name", [*CHANGES, "an_argument_of_a_later_release"])
@pytest.mark.parametrize("value", [50.0, 0, True, torch.zeros(3), "text"], ids=str)
def test_scores_changed_by_the_model_are_refused_by_name(name, value):
    with pytest.raises(StopRun, match=rf"wants .*\b{name}\b"):
        call(Context(), **{name: value})


@pytest.mark.parametrize("name", [*CHANGES, "an_argument_of_a_later_release"])
@pytest.mark.parametrize("value", [None, False])
def test_score_changes_that_are_not_set_are_accepted(name, value):
    _, (output, _) = call(Context(), **{name: value})
    assert output.shape == (1, 5, 6, 4)


@pytest.mark.parametrize(
    "options", [{"position_ids": torch.arange(5)[None]}, {"dropout": 0.0}, {"is_causal": True}]
)
def test_what_changes_no_score_is_accepted(options):
    _, (output, _) = call(Context(), **options)
    assert output.shape == (1, 5, 6, 4)


def test_dropout_in_use_is_refused():
    with pytest.raises(StopRun, match="wants dropout"):
        call(Context(), dropout=0.1)


def test_attention_to_later_tokens_is_refused():
    with pytest.raises(StopRun, match="lets tokens see later ones"):
        call(Context(), is_causal=False)


def attend_with(mask=None, key_length=5, layer_module=None):
    query, value = torch.randn(1, 6, 5, 4), torch.randn(1, 2, key_length, 4)
    module = layer_module or layer(3)
    attention_forward(module, query, value, value, mask, scaling=0.7, context=Context())


def test_a_mask_of_the_model_is_refused():
    with pytest.raises(StopRun, match="makes a mask of its own"):
        attend_with(torch.zeros(1, 1, 5, 5))


@pytest.mark.parametrize("key_length", [4, 6, 13])
def test_keys_that_are_no_token_s_are_refused(key_length):
    with pytest.raises(StopRun, match=f"{key_length} keys for 5 tokens"):
        attend_with(key_length=key_length)


@pytest.mark.parametrize("number", [None, "3"])
def test_a_layer_without_number_is_refused(number):
    with pytest.raises(StopRun, match="layer_idx"):
        attend_with(layer_module=layer(number))


@pytest.mark.parametrize(
    ("called", "sentence"),
    [
        ([0, 1, 1, 2], "layer 1 attends 2 times"),
        ([0, 2], "layer 1 attends 0 times"),
        ([], "layer 0 attends 0 times"),
        ([0, 2, 1], r"in the order \[0, 2, 1\]"),
        ([0, 1, 2, 3], r"in the order \[0, 1, 2, 3\]"),
    ],
)
def test_layers_that_do_not_attend_once_each_in_their_order_are_refused(called, sentence):
    with pytest.raises(StopRun, match=sentence):
        check_calls([LayerCall(number, 1.0) for number in called])


def check_calls(calls, **changes):
    geometry = replace(geometry_of(make_model(make_config("llama"))), **changes)
    recorded = LayerCalls(lambda call, query, key, value: value, geometry)
    for each in calls:
        recorded.attend(each, *torch.zeros(3, 1, 2, 3, 4))
    recorded.check(nn.Identity())


WINDOWS = (9, None, 9)


@pytest.mark.parametrize("windows", [WINDOWS, (None, None, None), (9, 499, 9), (9, 4096, None)])
def test_layers_that_ask_for_the_windows_of_their_masks_are_accepted(windows):
    check_calls([LayerCall(i, 1.0, None, w) for i, w in enumerate(windows)], windows=WINDOWS)


@pytest.mark.parametrize("windows", [(8, None, 9), (9, 9, 9), (9, None, 498)])
def test_a_layer_that_asks_for_another_window_than_its_mask_s_is_refused(windows):
    odd = next(i for i in range(3) if windows[i] != WINDOWS[i])
    calls = [LayerCall(i, 1.0, None, w) for i, w in enumerate(windows)]
    with pytest.raises(StopRun, match=f"layer {odd} wants a window of {windows[odd]}, its mask"):
        check_calls(calls, windows=WINDOWS)


@pytest.mark.parametrize(("asked", "known"), [(30.0, None), (None, 30.0), (30.0, 50.0)])
def test_a_layer_that_asks_for_another_soft_cap_than_the_config_s_is_refused(asked, known):
    calls = [LayerCall(i, 1.0, asked if i == 1 else known) for i in range(3)]
    with pytest.raises(StopRun, match=f"layer 1 wants a soft-cap of {asked}.* says {known}"):
        check_calls(calls, softcap=known)


@pytest.mark.parametrize("step", ["prefill", "decoding"])
def test_a_layer_that_attends_twice_in_some_step_is_refused_there(make_engine, monkeypatch, step):
    engine = make_engine()
    attention = engine.model.base_model.layers[1].self_attn
    original = attention.forward

    def forward(hidden_states, *args, **kwargs):
        is_decoding = hidden_states.shape[1] == 1
        if is_decoding == (step == "decoding"):
            original(hidden_states, *args, **kwargs)
        return original(hidden_states, *args, **kwargs)

    monkeypatch.setattr(attention, "forward", forward)
    with pytest.raises(StopRun, match="layer 1 attends 2 times"):
        answers_of(engine, [LONG if step == "decoding" else SHORT], request_for_one(2))


def test_attention_sinks_are_refused_by_name():
    model = make_model(GptOssConfig(**SIZES, pad_token_id=0))
    with pytest.raises(StopRun, match=r"family gpt_oss .* attention sinks"):
        geometry_of(model)


@pytest.mark.parametrize(
    ("argument", "feature"), [("s_aux", "attention sinks"), ("indices", "sparse indices")]
)
def test_an_argument_behind_a_known_feature_is_refused_by_the_feature(argument, feature):
    with pytest.raises(StopRun, match=rf"wants {feature} \({argument}\)"):
        call(Context(), **{argument: torch.zeros(3)})


@pytest.mark.parametrize("config", [BloomConfig, MambaConfig])
def test_models_whose_layers_do_not_take_our_attention_are_refused(config):
    """Bloom computes its own attention; Mamba mixes tokens without any attention at all."""
    model = make_model(config(vocab_size=307, hidden_size=36, num_hidden_layers=1, n_head=6))
    with pytest.raises(StopRun, match="AttentionInterface"):
        install_attention(model)


@pytest.mark.parametrize("window", [1, 19, None])
@pytest.mark.parametrize("softcap", [50.0, None])
def test_window_and_soft_cap_are_passed_on(window, softcap):
    context = Context()
    call(context, sliding_window=window, softcap=softcap)
    assert context.call == LayerCall(3, 0.7, softcap, window)


LONG, SHORT = ("who " * 121,), ("is it?",)


def request_for_one(max_new_tokens):
    return make_request("origin", num_paraphrases=1, max_new_tokens=max_new_tokens)


def long_prompt(tokenizers):
    """Number of tokens of the prompt of LONG."""
    ((prompt,),) = packed_prompts(tokenizers[False], known(LONG), request_for_one(1))
    return prompt.next_position


def test_a_prompt_as_long_as_the_window_equals_the_model_without_window(make_engine, tokenizers):
    windowed = make_engine("mistral", sliding_window=long_prompt(tokenizers))
    usual = make_engine("mistral")
    request = request_for_one(1)
    assert answers_of(windowed, [SHORT, LONG], request) == answers_of(
        usual, [SHORT, LONG], request
    )


@pytest.fixture
def make_limited(make_engine):
    """An engine whose model sees all earlier tokens up to some position only, as in chunks."""

    def make(position):
        engine = make_engine("mistral")
        engine.runner.geometry = replace(engine.geometry, causal_positions=position)
        return engine

    return make


def test_a_prompt_that_is_not_computed_is_an_error_of_its_sample_alone(
    make_engine, make_limited, tokenizers
):
    window = long_prompt(tokenizers) - 1
    engine = make_limited(window)
    short, long = answers_of(engine, [SHORT, LONG], request_for_one(1))
    assert isinstance(long["origin"], SampleError)
    assert f"from position {window} on this model no longer sees all" in str(long["origin"])
    assert short == answers_of(make_engine("mistral"), [SHORT], request_for_one(1))[0]


def test_a_prompt_that_is_not_computed_changes_nothing_for_its_neighbours(
    make_limited, tokenizers
):
    """Prompt and answer are measured before anything is computed.

    The last token of an answer is never fed, so both may take one position more than is computed.
    """
    engine = make_limited(long_prompt(tokenizers) + 2)
    (alone,) = tokens_of(answers_of(engine, [SHORT], request_for_one(9)))
    for new_tokens, fits in ((3, True), (4, False), (9, False)):
        short, long = answers_of(engine, [SHORT, LONG], request_for_one(new_tokens))
        assert tokens_of([short])[0] == alone[:new_tokens]
        assert isinstance(long["origin"], SampleError) is not fits


def tokens_of(answers):
    return [answer["origin"][0].tokens for answer in answers]
