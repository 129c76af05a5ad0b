"""Length correction: each paraphrase weighs as much as one of their geometric mean length."""

import math

import pytest
import torch

from common.layout import pack_fused
from common.methods import METHODS
from common.records import Sample
from tests.worker.engine.answers import answers_of
from tests.worker.engine.families import (
    BOS,
    make_config,
    make_model,
    make_pieces,
    make_request,
    splitter_of,
)
from worker.engine.planning import plan_ensembles
from worker.engine.reference import reference_logits
from worker.model.tokenizer import PromptTokenizer

CORRECTED = METHODS["flex_attention_length_corrected"]
LAYOUTS = [("concat", "sequential"), ("concat", "aligned"), ("shared", "aligned")]


def sequence_of(pieces, layout, positions, name=CORRECTED.name):
    request = make_request(name, layout=layout, positions=positions)
    (sequence,) = plan_ensembles(pieces, request, splitter_of(pieces)).sequences
    return sequence


def lengths_of(pieces, layout, positions):
    """Tokens of each paraphrase that the tail reads: those of the packed prompt's groups."""
    return [len(group) for group in pack_fused(pieces, layout, positions).groups[1:-1]]


@pytest.mark.parametrize(("layout", "positions"), LAYOUTS)
def test_every_paraphrase_weighs_the_geometric_mean_of_their_lengths(bos, layout, positions):
    """Paraphrases of 4, 11 and 1 tokens weigh 44^(1/3) each, every other key 1."""
    pieces = make_pieces((4, 11, 1), bos)
    lengths = lengths_of(pieces, layout, positions)
    refs = sequence_of(pieces, layout, positions).refs
    weight = sum(len(ref.segment.tokens) * math.exp(ref.bias) for ref in refs)
    others = {"concat": bos, "shared": len(pieces.prefix) + len(pieces.cue) - 1}[layout]
    assert weight == pytest.approx(3 * math.prod(lengths) ** (1 / 3) + others, abs=1e-4)
    assert len({round(ref.bias, 5) for ref in refs}) >= 3


def test_without_correction_every_key_weighs_one():
    pieces = make_pieces((4, 11, 1), bos=True)
    refs = sequence_of(pieces, "shared", "aligned", "flex_attention").refs
    assert {ref.bias for ref in refs} == {0.0}


@pytest.mark.parametrize("positions", ["sequential", "aligned"])
@pytest.mark.parametrize("length", [1, 9])
def test_paraphrases_of_equal_length_are_corrected_by_nothing(bos, positions, length):
    """In the shared layout; a concatenated prompt's last paraphrase is one token shorter."""
    pieces = make_pieces((length,) * 3, bos)
    refs = sequence_of(pieces, "shared", positions).refs
    assert [ref.bias for ref in refs] == pytest.approx([0.0] * len(refs), abs=1e-6)


def test_one_paraphrase_is_not_corrected(bos):
    """There is no other paraphrase to balance it with: the prompt stays the plain one."""
    pieces = make_pieces((9,), bos)
    for layout, positions in LAYOUTS:
        plain = sequence_of(pieces, layout, positions, "flex_attention")
        assert sequence_of(pieces, layout, positions) == plain


def biased_logits(model, prompt, bias_of):
    """Logits by transformers' eager attention, `bias_of(group)` added to the tail's scores."""
    groups = prompt.group_ids
    tail = len(prompt.groups) - 1
    mask = torch.full((1, 1, len(groups), len(groups)), -1e30)
    for q, group in enumerate(groups):
        for k in range(q + 1):
            if groups[k] in (0, group) or group == tail:
                mask[0, 0, q, k] = bias_of(groups[k]) if group == tail else 0.0
    with torch.inference_mode():
        output = model(
            input_ids=torch.tensor([prompt.tokens]),
            position_ids=torch.tensor([prompt.positions]),
            attention_mask=mask,
            use_cache=False,
        )
    return output.logits[0, -1]


@pytest.mark.parametrize("positions", ["sequential", "aligned"])
def test_a_paraphrase_is_corrected_by_minus_the_log_of_its_length_before_all_others(
    bos, positions
):
    """A softmax depends on differences only: -log(length) for paraphrases, else the mean of it."""
    model = make_model(make_config("llama"))
    lengths = (5, 17, 2)
    prompt = pack_fused(make_pieces(lengths, bos), "shared", positions)
    minus_logs = [-math.log(length) for length in lengths]
    of_rest = sum(minus_logs) / 3
    bias = [of_rest, *minus_logs, of_rest]
    corrected = reference_logits(model, prompt, [], CORRECTED)
    plain = biased_logits(model, prompt, lambda group: 0.0)
    torch.testing.assert_close(
        corrected, biased_logits(model, prompt, bias.__getitem__), atol=1e-4, rtol=0
    )
    assert (corrected - plain).abs().max() > 0.01


PARAPHRASES = ("who wrote it?", "it", "tell me who the one is who wrote it, or who did not")


@pytest.fixture
def attended(make_engine):
    """Attention output at the first decoded token of a one-layer model with equal scores."""

    def run(bos, layout, positions):
        engine = make_engine("llama", bos, num_hidden_layers=1)
        attention = engine.model.base_model.layers[0].self_attn
        with torch.no_grad():
            attention.q_proj.weight.zero_()
        seen = []
        attention.o_proj.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
        request = make_request(
            CORRECTED.name, layout=layout, positions=positions, max_new_tokens=1
        )
        answers_of(engine, [Sample(PARAPHRASES)], request)
        return engine.model, seen[-1][0, -1], request

    return run


@torch.inference_mode()
def values(model, tokens):
    """Values of tokens in the first layer, where they depend on the token only: [T, H * D]."""
    layer = model.base_model.layers[0]
    hidden = layer.input_layernorm(model.base_model.embed_tokens(torch.tensor(tokens)))
    flat = layer.self_attn.v_proj(hidden)
    repeats = model.config.num_attention_heads // model.config.num_key_value_heads
    by_head = flat.view(len(tokens), model.config.num_key_value_heads, -1)
    return by_head.repeat_interleave(repeats, dim=1).flatten(1)


@pytest.mark.parametrize(("layout", "positions"), LAYOUTS)
def test_where_all_scores_are_equal_each_paraphrase_is_read_as_its_mean(
    attended, tokenizers, bos, layout, positions
):
    """By hand: the mean of a paraphrase weighs the geometric mean length, other tokens 1."""
    model, read, request = attended(bos, layout, positions)
    pieces = PromptTokenizer(tokenizers[bos]).cut(request.prompt_format, PARAPHRASES)
    *before, last = (prompt[len(pieces.bos) :] for prompt in pieces.prompts)
    if positions == "aligned":
        before = [prompt[:-1] for prompt in before]
    paraphrases, others = [*before, last[:-1]], [*pieces.bos, last[-1]]
    if layout == "shared":
        paraphrases, others = pieces.segments, [*pieces.prefix, *pieces.cue]
    assert pieces.bos == ((BOS,) if bos else ())
    assert len({len(paraphrase) for paraphrase in paraphrases}) == 3
    means = torch.stack([values(model, paraphrase).mean(dim=0) for paraphrase in paraphrases])
    weight = math.prod(len(paraphrase) for paraphrase in paraphrases) ** (1 / 3)
    wanted = (values(model, others).sum(dim=0) + weight * means.sum(dim=0)) / (
        len(others) + 3 * weight
    )
    torch.testing.assert_close(read, wanted, atol=1e-5, rtol=1e-4)
