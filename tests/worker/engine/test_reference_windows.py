"""The reference computes windows and soft-caps: it equals `generate` past every window."""

from dataclasses import replace

import pytest
import torch

from common.errors import StopRun
from common.layout import PackedPrompt, pack_plain
from common.methods import METHODS
from tests.worker.engine.families import EOS, make_pieces
from tests.worker.engine.other_families import build, build_nested
from worker.engine import reference
from worker.engine.answer_end import EndRules
from worker.engine.canary_prompts import NEW_TOKENS, invent_cases
from worker.engine.reference import PLAIN, reference_decode, reference_mask, reference_masks
from worker.model.geometry import geometry_of

SLIDING, FULL = "sliding_attention", "full_attention"
MIXED = {"layer_types": [SLIDING, FULL, SLIDING]}
WINDOWED = {
    "mistral": ("mistral", {}),
    "gemma2": ("gemma2", {"head_dim": 16}),
    "gemma2_capped": ("gemma2", {"head_dim": 16, "attn_logit_softcapping": 0.7}),
    "gemma3": ("gemma3_text", {"head_dim": 16} | MIXED),
    "gemma3_nested": ("gemma3", {"head_dim": 16} | MIXED),
    "qwen2": ("qwen2", {"use_sliding_window": True} | MIXED),
}
NEW = 9


def make(name, window):
    family, changes = WINDOWED[name]
    make_it = build_nested if family == "gemma3" else build
    return make_it(family, sliding_window=window, **changes)


def generated(model, tokens):
    ids = torch.tensor([tokens])
    output = model.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=NEW, do_sample=False,
        eos_token_id=EOS, pad_token_id=0,
    )  # fmt: skip
    return tuple(output[0, len(tokens) :].tolist())


def decoded(model, prompt):
    return reference_decode(model, [prompt], PLAIN, EndRules((), (EOS,)), [], NEW).tokens


@pytest.mark.parametrize("window", [5, 8, 11])
@pytest.mark.parametrize("name", WINDOWED)
def test_prompts_longer_than_the_window_equal_generate(name, window):
    model, twin = make(name, window), make(name, window)
    twin.set_attn_implementation("eager")
    answers, without = set(), set()
    for length in (4, 13, 29):
        pieces = make_pieces((length,), bos=False, seed=length)
        prompt = pack_plain(pieces, 0)
        answers.add(decoded(model, prompt))
        assert decoded(model, prompt) == generated(twin, prompt.tokens)
        without.add(decoded(make(name, 400), prompt))
    assert len(answers) > 1
    assert answers != without


def test_a_soft_cap_changes_what_is_decoded():
    prompt = pack_plain(make_pieces((29,), bos=False), 0)
    assert decoded(make("gemma2", 8), prompt) != decoded(make("gemma2_capped", 8), prompt)


@pytest.mark.parametrize("positions", ["sequential", "aligned"])
def test_a_window_counts_positions_and_not_places_in_the_packed_prompt(positions):
    pieces = make_pieces((5, 3, 4), bos=False)
    ((prompt,),) = reference.reference_prompts(
        pieces, METHODS["flex_attention"], "shared", positions
    )
    arguments = (prompt, 3, torch.float32, METHODS["flex_attention"])
    full, windowed = reference_mask(*arguments)[0, 0], reference_mask(*arguments, window=6)[0, 0]
    first = prompt.next_position
    places = torch.tensor([*prompt.positions, *range(first, first + 3)])
    far = places[:, None] - places >= 6
    assert far.any()
    assert (windowed[far] == torch.finfo(torch.float32).min).all()
    assert windowed[~far].equal(full[~far])


def test_layers_of_one_kind_with_different_windows_are_refused(monkeypatch):
    model = make("gemma3", 8)
    sizes = replace(geometry_of(model), windows=(8, None, 9))
    monkeypatch.setattr(reference, "geometry_of", lambda model: sizes)
    with pytest.raises(StopRun, match=r"windows \(8, None, 9\)"):
        reference_masks(model, PackedPrompt(((5, 6), (7,)), (0, 2)), 1)


@pytest.mark.parametrize("window", [7, 40, 300])
def test_the_canary_has_a_prompt_whose_tokens_leave_each_window(window):
    sizes = geometry_of(make("gemma3", window))
    (case,) = [c for c in invent_cases(sizes, 0) if f"window of {window}" in c.name]
    positions = torch.tensor(case.prompt.positions)
    distances = positions[len(case.shared) :, None] - positions[: len(case.shared)]
    assert (distances >= window).any()
    assert (distances < window).any()
    assert case.prompt.next_position + NEW_TOKENS <= 499
