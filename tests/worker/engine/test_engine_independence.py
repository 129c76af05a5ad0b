"""An answer does not depend on the prompts beside it, or the model is refused by name."""

import pytest
import torch

from common.errors import SampleError, StopRun
from tests.worker.engine.answers import answers_of
from tests.worker.engine.families import (
    MANY,
    make_request,
    make_tokenizer,
)
from tests.worker.engine.other_families import (
    LATENT,
    LLAMA4,
    LONGROPE,
    NO_KV_HEADS,
    SCALED_BY_POSITION,
    build,
)
from worker.engine.attention.sdpa import SdpaBackend
from worker.engine.engine import Engine
from worker.model.geometry import geometry_of
from worker.model.independence import median_error

CONVOLUTIONS = {"layer_types": ["full_attention", "conv", "full_attention"]}
REFUSED = {
    "short convolutions": (
        "lfm2", CONVOLUTIONS,
        r"layer 1 \(Lfm2DecoderLayer, conv\) mixes tokens in its Lfm2ShortConv",
    ),
    "linear attention": ("minimax", {}, r"linear_attention\) mixes tokens in its MiniMaxLight"),
    "a recurrent state": ("falcon_h1", {}, "keeps a recurrent state"),
    "scales by the row": (
        "llama4_text", LLAMA4 | {"floor_scale": 16, "no_rope_layers": [1, 0, 1]},
        "attn_temperature_tuning scales queries by how many tokens lie before",
    ),
    "scales far in the row": (
        "llama4_text", LLAMA4 | {"floor_scale": 300, "no_rope_layers": [1, 0, 1]},
        "attn_temperature_tuning scales queries by how many tokens lie before",
    ),
    "positions by the row": ("bart", {"d_model": 64}, "places tokens by where they lie in"),
    "two attentions a layer": ("diffllama", {}, "layer 0 attends 2 times"),
    "layers that come again": ("hrm_text", NO_KV_HEADS, "layer 0 attends 8 times"),
    "a dynamic mask": ("doge", {}, "DogeAttention makes a mask of its own"),
    "no causal mask": ("bert", NO_KV_HEADS, "makes a mask of its own instead of the causal one"),
    "sinks": (
        "gpt_oss", {"head_dim": 16, "num_local_experts": 4}, "family gpt_oss .* attention sinks",
    ),
    "chosen keys": (
        "deepseek_v32", LATENT | {"index_head_dim": 16, "index_n_heads": 2, "index_topk": 4},
        "family deepseek_v32 .* sparse indices",
    ),
    "its own attention": ("gptj", NO_KV_HEADS, "AttentionInterface"),
    "arguments not passed on": ("stablelm", {}, "does not pass arguments on to its attention"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_model_that_cannot_be_packed_is_refused_by_its_feature(case):
    family, changes, sentence = REFUSED[case]
    with pytest.raises(StopRun, match=sentence):
        Engine(build(family, **changes), make_tokenizer(False), SdpaBackend())


@pytest.mark.parametrize("family", ["llama4_text"])
def test_the_same_family_without_the_feature_is_taken(family):
    sizes = geometry_of(build(family, **LLAMA4, attn_temperature_tuning=False))
    assert sizes.causal_positions == 499


@pytest.mark.parametrize("chunk", [33, 64])
def test_chunked_attention_is_computed_up_to_its_first_chunk_and_refused_by_name(chunk):
    sizes = geometry_of(build("llama4_text", **LLAMA4 | {"attention_chunk_size": chunk}))
    assert (sizes.causal_positions, sizes.windows) == (chunk, (None, None, None))
    assert sizes.length_fault(chunk - 5, 5) is None
    assert f"from position {chunk} on" in sizes.length_fault(chunk - 4, 5)
    assert "chunked attention" in sizes.length_fault(chunk - 4, 5)


def longrope(**changes):
    rope = LONGROPE | changes
    return build("phi3", rope_parameters=rope, original_max_position_embeddings=64)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("last", [6.0, 64.0])
def test_where_rotary_factors_change_for_a_whole_row_is_found(dtype, last):
    """Also if only the lowest frequency changes, which half precision does not show."""
    factors = [1.0] * 7 if last == 64 else LONGROPE["long_factor"][:7]
    sizes = geometry_of(longrope(long_factor=[*factors, last]).to(dtype))
    assert (sizes.steady_positions, sizes.positions) == (64, 64)


@pytest.mark.parametrize("rope_type", ["llama3", "yarn"])
def test_factors_that_never_change_are_no_limit(rope_type):
    rope = {
        "rope_type": rope_type, "rope_theta": 1e4, "factor": 4.0, "low_freq_factor": 1.0,
        "high_freq_factor": 4.0, "original_max_position_embeddings": 64,
    }  # fmt: skip
    assert geometry_of(build("llama", rope_parameters=rope)).positions == 499


def test_a_prompt_past_changing_factors_is_an_error_and_changes_no_neighbour():
    tokenizer, request = make_tokenizer(False), make_request("origin", max_new_tokens=4)
    engine = Engine(longrope(), tokenizer, SdpaBackend())
    samples = [paraphrases[2:] for paraphrases in MANY]
    alone = [answers_of(engine, [sample], request)[0]["origin"] for sample in samples]
    together = [answer["origin"] for answer in answers_of(engine, samples, request)]
    failed = [isinstance(answer, SampleError) for answer in alone]
    assert 1 < sum(failed) < len(MANY) - 1
    for one, other in zip(alone, together, strict=True):
        assert isinstance(other, SampleError) == isinstance(one, SampleError)
        if isinstance(one, SampleError):
            assert "from position 64 on this model changes its rotary factors" in str(one)
        else:
            assert [g.tokens for g in one] == [g.tokens for g in other]


def test_factors_that_were_kept_of_a_long_row_are_put_back():
    rope = {"rope_type": "dynamic", "factor": 4.0, "rope_theta": 1e4}
    model = build("llama", rope_parameters=rope)
    before = model.base_model.rotary_emb.inv_freq.clone()
    geometry_of(model)
    torch.testing.assert_close(model.base_model.rotary_emb.inv_freq, before, rtol=0, atol=0)


@pytest.mark.parametrize(("beta", "movable"), [(0.5, False), (0.0, True)])
def test_keys_are_not_moved_where_the_query_is_scaled_by_its_position(beta, movable):
    rope = SCALED_BY_POSITION | {"llama_4_scaling_beta": beta}
    model = build("ministral3", head_dim=16, rope_parameters=rope)
    assert geometry_of(model).movable is movable


def test_a_scale_that_begins_at_the_last_positions_is_found():
    rope = SCALED_BY_POSITION | {"original_max_position_embeddings": 450}
    model = build("ministral3", head_dim=16, rope_parameters=rope)
    assert geometry_of(model).movable is False


def test_a_token_that_rounding_sends_elsewhere_is_not_taken_for_mixing():
    wanted = torch.randn(3, 7, 5, generator=torch.Generator().manual_seed(0))
    flipped = wanted.clone()
    flipped[:, 2] *= -1
    assert median_error(flipped, wanted) == 0
    assert median_error(wanted.roll(1, dims=1), wanted) > 0.5
    nan = torch.full_like(wanted, torch.nan)
    assert median_error(nan, nan) == 0
