"""Engine and reference agree past the windows of a model, and under a soft-cap of scores.

Windows are shorter than every prompt, so tokens of one prompt, and copies of one segment at
several positions, see different keys of what is computed once.
"""

from itertools import product

import pytest

from tests.worker.engine.families import MANY, SAMPLES, make_request, make_tokenizer
from tests.worker.engine.other_families import build, build_nested
from worker.engine import canary
from worker.engine.attention.cascade_prefill import CascadeBackend
from worker.engine.attention.flex import FlexBackend
from worker.engine.attention.sdpa import SdpaBackend
from worker.engine.engine import Engine
from worker.engine.reference import PLAIN

SLIDING, FULL = "sliding_attention", "full_attention"
MIXED = {"layer_types": [SLIDING, FULL, SLIDING]}
WINDOWED = {
    "mistral": ("mistral", {}),
    "gemma2": ("gemma2", {"head_dim": 16, "attn_logit_softcapping": None}),
    "gemma2_capped": ("gemma2", {"head_dim": 16, "attn_logit_softcapping": 0.7}),
    "gemma3": ("gemma3_text", {"head_dim": 16} | MIXED),
    "gemma3_nested": ("gemma3", {"head_dim": 16} | MIXED),
    "qwen2": ("qwen2", {"use_sliding_window": True} | MIXED),
}
LAYOUTS = list(product(["concat", "shared"], ["sequential", "aligned"]))


def make_windowed(name, window, tokenizer, backend=CascadeBackend):
    family, changes = WINDOWED[name]
    make = build_nested if family == "gemma3" else build
    return Engine(make(family, sliding_window=window, **changes), tokenizer, backend())


@pytest.mark.parametrize("method", ["per_prompt", "flex_attention"])
@pytest.mark.parametrize("window", [5, 34])
@pytest.mark.parametrize("name", WINDOWED)
def test_prompts_past_the_window_equal_the_reference(compare, name, window, method):
    tokenizer = make_tokenizer(True)
    engine = make_windowed(name, window, tokenizer)
    compare(engine, tokenizer, SAMPLES, make_request(method))


@pytest.mark.parametrize(("layout", "positions"), LAYOUTS)
@pytest.mark.parametrize("method", ["avg", "flex_attention", "flex_attention_causal"])
@pytest.mark.parametrize("name", ["mistral", "gemma2_capped", "gemma3"])
def test_every_layout_past_the_window_equals_the_reference(
    compare, name, method, layout, positions
):
    """Keys of mistral are moved, those of gemma3 are not."""
    tokenizer = make_tokenizer(False)
    engine = make_windowed(name, 11, tokenizer)
    compare(engine, tokenizer, SAMPLES, make_request(method, layout=layout, positions=positions))


@pytest.mark.parametrize("backend", [SdpaBackend, FlexBackend])
@pytest.mark.parametrize("name", ["mistral", "gemma3", "gemma2_capped"])
def test_every_backend_equals_the_reference_past_the_window(compare, name, backend):
    """Short packs of FlexAttention go to another backend: all questions make a long one."""
    if name == "gemma2_capped" and backend is SdpaBackend:
        pytest.skip("sdpa cannot cap scores, which another test holds")
    tokenizer = make_tokenizer(False)
    engine = make_windowed(name, 9, tokenizer, backend)
    compare(engine, tokenizer, MANY, make_request("flex_attention"))


@pytest.mark.parametrize("new_tokens", [1, 13])
def test_a_window_that_ends_while_decoding_equals_the_reference(compare, new_tokens):
    """The answer leaves the window of the prompt's last tokens one by one."""
    tokenizer = make_tokenizer(False)
    engine = make_windowed("gemma3", 7, tokenizer)
    compare(engine, tokenizer, SAMPLES, make_request("avg", max_new_tokens=new_tokens))


@pytest.mark.parametrize("window", [5, 11, 61, 300])
@pytest.mark.parametrize("name", WINDOWED)
def test_the_canary_passes_past_the_window(name, window):
    engine = make_windowed(name, window, make_tokenizer(False))
    cases = {case.name for case in canary._cases(engine)}
    assert f"a prompt beyond a window of {window} tokens" in cases
    canary.check_engine(engine)


def test_a_plain_prompt_past_the_window_is_compared_by_the_canary_as_well():
    engine = make_windowed("mistral", 5, make_tokenizer(False))
    plain = [case for case in canary._cases(engine) if case.method is PLAIN]
    assert max(case.prompt.next_position for case in plain) > 5
