"""producer.mask.picture: the mask drawn is the mask the engine computes."""

import numpy as np
import pytest
import torch

from common.layout import pack_fused, pack_plain
from common.methods import METHODS
from common.visibility import VISIBILITIES
from producer.mask.picture import pack
from tests.producer.mask.maskkit import make_picture, make_pieces, shared_picture
from worker.engine.attention.masks import (
    create_visibility_dense_mask,
    generate_visibility_mask_mod,
)

FUSED = [name for name, method in METHODS.items() if method.has_layout]
PLAIN = [name for name, method in METHODS.items() if not method.has_layout]
LENGTHS = [(5, 13, 8), (1, 1), (61, 37, 53, 3)]


def engine_mask(prompt, visible):
    """The engine's dense mask over the slots of one prompt, [T, T]."""
    groups, slots = torch.tensor(prompt.group_ids), torch.arange(len(prompt.tokens))
    mask_mod = generate_visibility_mask_mod(groups, slots, groups, slots, torch.tensor(visible))
    return create_visibility_dense_mask(mask_mod, len(slots), len(slots), "cpu")[0, 0].numpy()


@pytest.mark.parametrize("method", FUSED)
@pytest.mark.parametrize("layout", ["concat", "shared"])
@pytest.mark.parametrize("positions", ["sequential", "aligned"])
@pytest.mark.parametrize("bos", [False, True])
@pytest.mark.parametrize("lengths", LENGTHS)
def test_the_mask_of_a_fused_method_is_the_engines(method, layout, positions, bos, lengths):
    pieces = make_pieces(lengths, bos)
    picture = make_picture(pack(pieces, METHODS[method], layout, positions, num_manual=2))
    prompt = pack_fused(pieces, layout, positions)
    visible = VISIBILITIES[METHODS[method].visibility](len(lengths), 2)
    assert picture.packed.prompt == prompt
    assert np.array_equal(picture.mask, engine_mask(prompt, visible))


@pytest.mark.parametrize("method", PLAIN)
@pytest.mark.parametrize("bos", [False, True])
def test_the_mask_of_any_other_method_is_that_of_the_first_plain_prompt(method, bos):
    pieces = make_pieces((5, 13), bos)
    packed = pack(pieces, METHODS[method], "shared", "aligned")
    assert packed.prompt == pack_plain(pieces, 0)
    assert (packed.layout, packed.positions, packed.bias) == (None, None, None)
    mask = make_picture(packed).mask
    assert np.array_equal(mask, np.tri(14 + bos, dtype=bool))
    assert np.array_equal(mask, engine_mask(packed.prompt, VISIBILITIES["isolated"](1, 0)))


@pytest.mark.parametrize("method", FUSED)
def test_one_paraphrase_makes_every_method_plain(method):
    packed = pack(make_pieces((5,)), METHODS[method], "shared", "aligned", num_manual=5)
    assert (packed.layout, packed.bias) == (None, None)
    assert np.array_equal(make_picture(packed).mask, np.tri(14, dtype=bool))


def test_more_manual_paraphrases_than_are_drawn_change_nothing():
    method = METHODS["flex_attention_cross_manual"]
    two, nine = (pack(make_pieces((5, 3)), method, "shared", "aligned", n) for n in (2, 9))
    assert np.array_equal(two.table, nine.table)


def test_only_the_length_corrected_method_has_a_bias():
    biases = {m: pack(make_pieces((5, 3)), METHODS[m], "shared", "aligned").bias for m in FUSED}
    bias = biases.pop("flex_attention_length_corrected")
    # Both lengths against their geometric mean, the root of 15.
    assert bias == pytest.approx([0, np.log(15**0.5 / 5), np.log(15**0.5 / 3), 0])
    assert set(biases.values()) == {None}


def test_spans_are_the_groups_with_tokens_and_their_boundaries():
    spans = [(s.group, s.name, s.first, s.stop) for s in shared_picture((5, 3)).spans]
    assert spans == [
        (0, "prefix", 0, 7),
        (1, "paraphrase 0", 7, 12),
        (2, "paraphrase 1", 12, 15),
        (3, "answer cue", 15, 17),
    ]


@pytest.mark.parametrize(("bos", "first"), [(True, "prefix"), (False, "paraphrase 0")])
def test_without_a_bos_concat_has_no_prefix_to_show(bos, first):
    packed = pack(make_pieces((5, 3), bos), METHODS["flex_attention"], "concat", "sequential")
    spans = make_picture(packed).spans
    assert (spans[0].name, spans[-1].name) == (first, "tail")
    assert spans[-1].stop - spans[-1].first == 1


def test_what_a_group_sees_leaves_out_what_comes_later():
    method = METHODS["flex_attention_cross_manual"]
    picture = make_picture(pack(make_pieces((5, 3, 4)), method, "shared", "aligned", 2))
    seen = {span.name: [s.name for s in picture.seen_by(span)] for span in picture.spans}
    assert seen == {
        "prefix": ["prefix"],
        "paraphrase 0": ["prefix", "paraphrase 0"],
        "paraphrase 1": ["prefix", "paraphrase 0", "paraphrase 1"],
        "paraphrase 2": ["prefix", "paraphrase 2"],
        "answer cue": ["prefix", "paraphrase 0", "paraphrase 1", "paraphrase 2", "answer cue"],
    }
