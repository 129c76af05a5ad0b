"""The attention function refuses what it does not compute, and never goes causal instead."""

import pytest
import torch
from families import known, make_config, make_model, make_request, packed_prompts
from torch import nn
from transformers import BloomConfig, Gemma2Config, GptOssConfig, MambaConfig

from common.errors import SampleError, StopRun
from worker.engine.attention import attention_forward, install_attention
from worker.engine.rotary import can_move_keys

SIZES = {
    "vocab_size": 307,
    "hidden_size": 36,
    "num_hidden_layers": 1,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "head_dim": 6,
}


class Context:
    """Gives the values back; notes the layer and the scaling it was asked for."""

    max_position = 18

    def attend(self, layer, query, key, value, scaling):
        self.asked = layer, scaling
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
    assert context.asked == (3, 0.7)
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


@pytest.mark.parametrize("name", ["softcap", "s_aux", "position_bias", "head_mask"])
def test_scores_changed_by_the_model_are_refused_by_name(name):
    with pytest.raises(StopRun, match=name):
        call(Context(), **{name: 50.0})


@pytest.mark.parametrize("name", ["softcap", "s_aux", "position_bias", "head_mask"])
def test_score_changes_that_are_none_are_accepted(name):
    _, (output, _) = call(Context(), **{name: None})
    assert output.shape == (1, 5, 6, 4)


@pytest.mark.parametrize(("config", "wants"), [(Gemma2Config, "softcap"), (GptOssConfig, "s_aux")])
def test_models_that_change_scores_are_refused(config, wants):
    model = make_model(config(**SIZES, pad_token_id=0))
    install_attention(model)
    with pytest.raises(StopRun, match=wants):
        can_move_keys(model)


@pytest.mark.parametrize("config", [BloomConfig, MambaConfig])
def test_models_whose_layers_do_not_take_our_attention_are_refused(config):
    """Bloom computes its own attention; Mamba mixes tokens without any attention at all."""
    model = make_model(config(vocab_size=307, hidden_size=36, num_hidden_layers=1, n_head=6))
    with pytest.raises(StopRun, match="AttentionInterface"):
        install_attention(model)


@pytest.mark.parametrize("window", [19, 20, 4096, None])
def test_positions_inside_the_sliding_window_are_accepted(window):
    _, (output, _) = call(Context(), sliding_window=window)
    assert output.shape == (1, 5, 6, 4)


@pytest.mark.parametrize("window", [1, 18])
def test_positions_past_the_sliding_window_are_refused(window):
    with pytest.raises(StopRun, match=f"sliding window of {window} tokens"):
        call(Context(), sliding_window=window)


LONG, SHORT = ("who " * 121,), ("is it?",)


def request_for_one(max_new_tokens):
    return make_request("origin", num_wordings=1, max_new_tokens=max_new_tokens)


def long_prompt(tokenizers):
    """How many tokens the prompt of LONG has."""
    ((prompt,),) = packed_prompts(tokenizers[False], known(LONG), request_for_one(1))
    return prompt.next_position


def test_a_prompt_as_long_as_the_window_equals_the_model_without_window(make_engine, tokenizers):
    windowed = make_engine("mistral", sliding_window=long_prompt(tokenizers))
    usual = make_engine("mistral")
    request = request_for_one(1)
    assert windowed.answer([SHORT, LONG], request) == usual.answer([SHORT, LONG], request)


def test_a_prompt_longer_than_the_window_is_an_error_of_its_sample_alone(make_engine, tokenizers):
    window = long_prompt(tokenizers) - 1
    engine = make_engine("mistral", sliding_window=window)
    short, long = engine.answer([SHORT, LONG], request_for_one(1))
    assert isinstance(long["origin"], SampleError)
    assert f"from position {window} on this model no longer sees all" in str(long["origin"])
    assert short == make_engine("mistral").answer([SHORT], request_for_one(1))[0]


def test_a_prompt_past_the_window_changes_nothing_for_its_neighbours(make_engine, tokenizers):
    """Told from prompt and answer together, before anything is computed: the last token picked is
    never fed, so both may take one position more than the window has.
    """
    window = long_prompt(tokenizers) + 2
    engine = make_engine("mistral", sliding_window=window)
    (alone,) = tokens_of(engine.answer([SHORT], request_for_one(9)))
    for new_tokens, fits in ((3, True), (4, False), (9, False)):
        short, long = engine.answer([SHORT, LONG], request_for_one(new_tokens))
        assert tokens_of([short])[0] == alone[:new_tokens]
        assert isinstance(long["origin"], SampleError) is not fits


def tokens_of(answers):
    return [answer["origin"][0].tokens for answer in answers]
