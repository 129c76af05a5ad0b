"""Block sparsity: how much of a mask FlexAttention need not look at.

Of the one mask given. The engine packs many samples into a mask and computes shared segments
once, so its block masks are others.
"""

import numpy as np

from common.visibility import Table

BLOCK = 128
"""Tokens along each side of a block: FlexAttention's default."""


def causal(num_tokens: int) -> Table:
    """The mask of plain text, bool [T, T]: every token sees itself and all before it."""
    return np.tri(num_tokens, dtype=bool)


def empty_blocks(mask: Table, block: int = BLOCK) -> tuple[int, int]:
    """How many blocks of a mask [T, T] hold no visible pair, and how many there are.

    The last row and column of blocks are filled up with nothing, as FlexAttention does.

    >>> empty_blocks(causal(5), block=2)
    (3, 9)
    """
    blocks = -(-len(mask) // block)
    padded = np.pad(mask, (0, blocks * block - len(mask)))
    seen = padded.reshape(blocks, block, blocks, block).any(axis=(1, 3))
    return int((~seen).sum()), seen.size


def block_sparsity(mask: Table, block: int = BLOCK) -> float:
    """Share of blocks that are empty and so never computed, in percent.

    `BlockMask.sparsity()` of PyTorch is the same where T is a multiple of the block. Elsewhere
    it divides whole blocks by T * T, not by the blocks' own area: one block over 37 tokens
    gives -1096.8 %. Here that is 0 %: no block is left out.

    >>> block_sparsity(causal(4), block=2)
    25.0
    """
    empty, total = empty_blocks(mask, block)
    return 100 * empty / total


def sparsity_line(mask: Table) -> str:
    """The block sparsity in words, beside what plain text would leave empty.

    >>> sparsity_line(causal(200))
    'block sparsity 25.0 %: 1 of 4 blocks of 128x128 empty (causal alone: 1)'
    """
    empty, total = empty_blocks(mask)
    plain, _ = empty_blocks(causal(len(mask)))
    return (
        f"block sparsity {block_sparsity(mask):.1f} %: {empty} of {total} blocks of "
        f"{BLOCK}x{BLOCK} empty (causal alone: {plain})"
    )
