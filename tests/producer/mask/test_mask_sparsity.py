"""producer.mask.picture: the blocks left out are those FlexAttention leaves out."""

import numpy as np
import pytest
import torch
from torch.nn.attention.flex_attention import create_block_mask

from producer.mask.picture import block_sparsity, causal, empty_blocks


def random_mask(num_tokens):
    """Causal over random groups, of which random ones see each other."""
    draw = np.random.default_rng(num_tokens)
    group = np.sort(draw.integers(7, size=num_tokens))
    visible = draw.random((7, 7)) < 0.4
    return causal(num_tokens) & visible[group[:, None], group[None, :]]


def torch_blocks(mask):
    seen = torch.tensor(mask)
    return create_block_mask(lambda b, h, q, k: seen[q, k], None, None, *mask.shape, device="cpu")


def torch_empty(blocks):
    computed = blocks.kv_num_blocks.sum() + blocks.full_kv_num_blocks.sum()
    return blocks.kv_indices.shape[-1] * blocks.kv_indices.shape[-2] - int(computed)


@pytest.mark.parametrize("num_tokens", [1, 37, 127, 129, 259, 641])
def test_on_odd_sizes_the_empty_blocks_are_those_of_torch(num_tokens):
    mask = random_mask(num_tokens)
    empty, total = empty_blocks(mask)
    assert empty == torch_empty(torch_blocks(mask))
    assert total == (-(-num_tokens // 128)) ** 2


@pytest.mark.parametrize("num_tokens", [128, 384, 640])
def test_on_whole_blocks_the_sparsity_is_that_of_torch(num_tokens):
    mask = random_mask(num_tokens)
    assert block_sparsity(mask) == pytest.approx(torch_blocks(mask).sparsity())
    assert 0 < block_sparsity(causal(640)) < block_sparsity(random_mask(640)) < 100


@pytest.mark.parametrize("num_tokens", [37, 131, 259])
def test_on_odd_sizes_torch_divides_by_the_tokens_alone(num_tokens):
    """Why the figure is our own there: once this fails, torch's can be shown as it is."""
    mask = random_mask(num_tokens)
    area = (-(-num_tokens // 128) * 128 / num_tokens) ** 2
    by_tokens = 100 - (100 - block_sparsity(mask)) * area
    assert torch_blocks(mask).sparsity() == pytest.approx(by_tokens)
    assert block_sparsity(mask) > by_tokens
