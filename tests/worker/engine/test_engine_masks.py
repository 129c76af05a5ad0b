"""mask_mods, block masks, dense masks and the reference's mask all equal the table."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.attention.flex_attention import create_block_mask, create_mask

from common.layout import pack_fused
from common.methods import METHODS
from common.visibility import VISIBILITIES, generate_isolated_visibility
from tests.worker.engine.families import (
    make_config,
    make_model,
    make_pieces,
    make_request,
    splitter_of,
)
from tests.worker.engine.packs import distinct_segments
from worker.engine.attention.mask_spec import segment_mask_spec
from worker.engine.attention.masks import (
    create_visibility_block_mask,
    create_visibility_dense_mask,
    generate_visibility_mask_mod,
)
from worker.engine.planning import plan_ensembles
from worker.engine.reference import reference_logits
from worker.engine.segments import Segment
from worker.model.geometry import geometry_of

GROUPS = (0, 0, 0, 1, 1, 2, 2, 2, 3)


def table_mask(groups, visible):
    """The mask by its definition, pair by pair: bool [T, T]."""
    mask = torch.zeros(len(groups), len(groups), dtype=torch.bool)
    for q, group in enumerate(groups):
        for k in range(q + 1):
            mask[q, k] = visible[group, groups[k]]
    return mask


def mask_mod_of(groups, visible):
    group, slot = torch.tensor(groups), torch.arange(len(groups))
    return generate_visibility_mask_mod(group, slot, group, slot, visible)


def random_groups(length, num_groups):
    generator = torch.Generator().manual_seed(length)
    return torch.randint(num_groups, (length,), generator=generator).sort().values.tolist()


def random_table(num_groups):
    generator = torch.Generator().manual_seed(num_groups)
    return torch.rand(num_groups, num_groups, generator=generator) < 0.5


def test_isolated_segments_see_themselves_and_the_prefix_and_the_tail_sees_all():
    visible = generate_isolated_visibility(3)
    assert visible[1:4, 1:4].tolist() == np.eye(3, dtype=bool).tolist()
    assert visible[:, 0].all()
    assert visible[4].all()
    assert not visible[:4, 4].any()


@pytest.mark.parametrize("length", [1, 37, 131, 259])
def test_dense_mask_is_the_table(length):
    groups, visible = random_groups(length, 7), random_table(7)
    dense = create_visibility_dense_mask(mask_mod_of(groups, visible), length, length, "cpu")
    assert dense[0, 0].equal(table_mask(groups, visible))


@pytest.mark.parametrize("length", [1, 37, 131, 259])
def test_mask_mod_is_vmap_clean(length):
    """create_block_mask and create_mask vmap a mask_mod over every query and key."""
    groups, visible = random_groups(length, 7), random_table(7)
    mask_mod = mask_mod_of(groups, visible)
    written_out = create_mask(mask_mod, None, None, length, length, device="cpu")
    assert written_out[0, 0].equal(table_mask(groups, visible))
    blocks = create_block_mask(mask_mod, None, None, length, length, device="cpu")
    assert blocks.shape == (1, 1, length, length)


def test_block_mask_leaves_out_exactly_the_empty_blocks():
    groups = [0] * 131 + [1] * 259 + [2] * 257
    visible = torch.from_numpy(generate_isolated_visibility(2))
    num = len(groups)
    blocks = create_visibility_block_mask(mask_mod_of(groups, visible), num, num, "cpu")
    padded = torch.zeros(768, 768, dtype=torch.bool)
    padded[:num, :num] = table_mask(groups, visible)
    wanted = padded.unflatten(0, (6, 128)).unflatten(2, (6, 128)).any(3).any(1)
    assert blocks.to_dense()[0, 0].bool().equal(wanted)
    assert not wanted.tril().equal(torch.ones(6, 6).tril().bool())


def plan_slots(bos, layout, positions):
    pieces = make_pieces((5, 13, 8), bos)
    request = make_request(layout=layout, positions=positions)
    plan = plan_ensembles(pieces, request, splitter_of(pieces))
    slots, end = {}, 0
    for segment in distinct_segments(plan.sequences):
        slots[segment] = range(end, end := end + len(segment.tokens))
    return slots, end


@pytest.mark.parametrize("layout", ["concat", "shared"])
@pytest.mark.parametrize("positions", ["sequential", "aligned"])
@pytest.mark.parametrize("first_query", [0, 7, 11])
def test_slots_see_their_segment_causally_and_what_it_sees_whole(
    bos, layout, positions, first_query
):
    slots, end = plan_slots(bos, layout, positions)
    wanted = torch.zeros(end, end, dtype=torch.bool)
    for segment, span in slots.items():
        for q in span:
            wanted[q, span.start : q + 1] = True
            for seen in segment.sees:
                wanted[q, slots[seen].start : slots[seen].stop] = True
    mask_mod = segment_mask_spec(slots, first_query, "cpu").mask_mod
    mask = create_visibility_dense_mask(mask_mod, end - first_query, end, "cpu")[0, 0]
    assert mask.equal(wanted[first_query:])


@pytest.mark.parametrize("layout", ["concat", "shared"])
@pytest.mark.parametrize("positions", ["sequential", "aligned"])
def test_no_row_of_a_mask_is_empty(bos, layout, positions):
    slots, end = plan_slots(bos, layout, positions)
    mask = create_visibility_dense_mask(
        segment_mask_spec(slots, 0, "cpu").mask_mod, end, end, "cpu"
    )
    assert mask[0, 0].diagonal().all()


def test_segment_masks_grow_past_their_fixed_sizes():
    """More than 1024 segments and 8192 slots: the last segment still sees the first alone."""
    first = Segment((3,) * 5, 0)
    segments = [first, *(Segment((i,) * 7, 5, (first,)) for i in range(1201))]
    slots, end = {}, 0
    for segment in segments:
        slots[segment] = range(end, end := end + len(segment.tokens))
    assert end > 8192
    keys, last = torch.arange(end), torch.tensor(end - 1)
    row = segment_mask_spec(slots, 0, "cpu").mask_mod(last, last, last, keys)
    assert row.nonzero()[:, 0].tolist() == [*range(5), *range(end - 7, end)]


@pytest.mark.parametrize("name", ["cross_manual", "isolated", "causal"])
@pytest.mark.parametrize("layout", ["concat", "shared"])
def test_the_references_mask_is_the_table(bos, layout, name):
    """The mask that reaches the model, for the prompt and two generated tokens."""
    model, masks = make_model(make_config("llama")), []
    geometry_of(model)  # Probed before the hook: probes pass no mask.
    model.register_forward_pre_hook(
        lambda _, args, kwargs: masks.append(kwargs["attention_mask"]), with_kwargs=True
    )
    prompt = pack_fused(make_pieces((3, 5, 4), bos), layout, "aligned")
    method = replace(METHODS["flex_attention"], visibility=name)
    reference_logits(model, prompt, [11, 13], method, 2)
    groups = (*prompt.group_ids, 4, 4)
    wanted = table_mask(groups, torch.from_numpy(VISIBILITIES[name](3, 2)))
    assert (masks[0] == 0)[0, 0].equal(wanted)
    assert (masks[0][0, 0][~wanted] < -1e30).all()
