"""A mask as data: a packed prompt, its groups, which token sees which, block sparsity, JSON.

Writes to no terminal and no file.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any

import numpy as np

from common.layout import PackedPrompt, PromptTokens, pack_fused, pack_plain
from common.methods import Method
from common.run import Layout, Positions
from common.visibility import VISIBILITIES, Table, length_bias

BLOCK = 128
"""Tokens along each side of a block: FlexAttention's default."""

HIDDEN_COLOUR = "#e6e6e6"
"""Colour of a pair whose key is earlier and still not seen."""

_PREFIX_COLOUR, _TAIL_COLOUR = "#56b4e9", "#cc79a7"
_PARAPHRASE_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#d55e00")


@dataclass(frozen=True, eq=False)
class MaskedPrompt:
    """A packed prompt of groups 0..N+1 and its visibility table.

    table: bool [N + 2, N + 2]. layout, positions: None for a plain prompt. bias: number added to
    the scores of the tail with the keys of each group; None unless the method corrects for length.
    """

    prompt: PackedPrompt
    table: Table
    layout: Layout | None
    positions: Positions | None
    bias: tuple[float, ...] | None

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the groups. With `shared` the tail is the answer cue, a segment of its own."""
        paraphrases = (f"paraphrase {n}" for n in range(self.prompt.num_segments))
        return ("prefix", *paraphrases, "answer cue" if self.layout == "shared" else "tail")


def pack(
    tokens: PromptTokens, method: Method, layout: Layout, positions: Positions, num_manual: int = 0
) -> MaskedPrompt:
    """Pack the prompt of the method's fused sequence, or the plain prompt of its first sequence.

    num_manual: how many of the paraphrases, counted from the first, were written by hand.

        >>> from common.methods import METHODS
        >>> tokens = PromptTokens((), (1,), ((2,), (3,)), (9,))
        >>> packed = pack(tokens, METHODS["flex_attention"], "shared", "aligned")
        >>> packed.prompt.tokens, packed.names
        ((1, 2, 3, 9), ('prefix', 'paraphrase 0', 'paraphrase 1', 'answer cue'))
        >>> pack(tokens, METHODS["avg"], "shared", "aligned").prompt.tokens
        (1, 2, 9)
    """
    fused = method.has_layout and len(tokens.segments) > 1
    prompt = pack_fused(tokens, layout, positions) if fused else pack_plain(tokens, 0)
    n = prompt.num_segments
    table = VISIBILITIES[method.visibility](n, min(num_manual, n))
    if not fused:
        return MaskedPrompt(prompt, table, None, None, None)
    lengths = [len(group) for group in prompt.groups]
    bias = tuple(length_bias(lengths).tolist()) if method.length_corrected else None
    return MaskedPrompt(prompt, table, layout, positions, bias)


@dataclass(frozen=True)
class Caption:
    """Names of the sample, the model and the method in the picture."""

    dataset: str
    uuid: str
    model: str
    method: str


@dataclass(frozen=True)
class Span:
    """The tokens [first, stop) of one group, which has at least one."""

    group: int
    name: str
    first: int
    stop: int


@dataclass(frozen=True, eq=False)
class MaskPicture:
    """One packed prompt of T tokens under its visibility table.

    labels: readable text of each token. notes: sentences for the reader, without a full stop.
    """

    caption: Caption
    packed: MaskedPrompt
    labels: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @cached_property
    def mask(self) -> Table:
        """Whether each token (row) sees each token (column), bool [T, T], in prompt order.

        The engine's rule: token q sees token k if k <= q and the table lets the group of q see
        the group of k.
        """
        group = np.array(self.packed.prompt.group_ids)
        visible: Table = self.packed.table[group[:, None], group[None, :]]
        return causal(len(group)) & visible

    @cached_property
    def spans(self) -> tuple[Span, ...]:
        """The tokens of each group, in order, without groups that have none.

        Groups of 0, 2 and 1 tokens: (1, "paraphrase 0", 0, 2), (2, "tail", 2, 3).
        """
        groups = self.packed.prompt.groups
        stops = accumulate(len(tokens) for tokens in groups)
        rows = enumerate(zip(self.packed.names, groups, stops, strict=True))
        return tuple(
            Span(g, name, stop - len(tokens), stop) for g, (name, tokens, stop) in rows if tokens
        )

    def seen_by(self, reader: Span) -> tuple[Span, ...]:
        """The spans that a span's tokens see at least in part, itself included."""
        table = self.packed.table
        return tuple(
            s for s in self.spans[: self.spans.index(reader) + 1] if table[reader.group, s.group]
        )

    def headings(self) -> tuple[str, ...]:
        """Lines above the picture: sample, prompt, block sparsity."""
        packed, caption = self.packed, self.caption
        layout = f"{packed.layout}, {packed.positions}" if packed.layout else "plain prompt"
        return (
            f"{caption.dataset}, sample {caption.uuid}",
            f"{caption.method}, {layout}, {caption.model}, {len(self.labels)} tokens",
            sparsity_line(self.mask),
        )


def mask_document(picture: MaskPicture) -> dict[str, Any]:
    """The picture as one JSON document, for scripts.

    tokens, token_ids, positions, group_ids: one entry per token, in prompt order. table[q][k]:
    whether group q sees group k. A token q sees a token k if k <= q and
    table[group_ids[q]][group_ids[k]]. block_sparsity: in percent.
    """
    packed, caption = picture.packed, picture.caption
    prompt = packed.prompt
    return {
        "dataset": caption.dataset,
        "uuid": caption.uuid,
        "model": caption.model,
        "method": caption.method,
        "layout": packed.layout,
        "positions_mode": packed.positions,
        "tokens": picture.labels,
        "token_ids": prompt.tokens,
        "positions": prompt.positions,
        "group_ids": prompt.group_ids,
        "groups": packed.names,
        "table": packed.table.tolist(),
        "bias": packed.bias,
        "block_size": BLOCK,
        "block_sparsity": block_sparsity(picture.mask),
        "notes": picture.notes,
    }


def group_colours(num_groups: int) -> list[str]:
    """A colour for each group, prefix and tail included; paraphrases repeat four colours.

    The palette of Okabe and Ito (2008), which colour-blind readers can tell apart.

    >>> group_colours(4)
    ['#56b4e9', '#0072b2', '#e69f00', '#cc79a7']
    """
    palette = _PARAPHRASE_COLOURS
    paraphrases = [palette[i % len(palette)] for i in range(num_groups - 2)]
    return [_PREFIX_COLOUR, *paraphrases, _TAIL_COLOUR]


def causal(num_tokens: int) -> Table:
    """The mask of plain text, bool [T, T]: every token sees itself and all earlier tokens."""
    return np.tri(num_tokens, dtype=bool)


def empty_blocks(mask: Table, block: int = BLOCK) -> tuple[int, int]:
    """Number of blocks of a mask [T, T] without a visible pair, and number of all blocks.

    The last row and column of blocks are padded with unseen pairs, as in FlexAttention.

    >>> empty_blocks(causal(5), block=2)
    (3, 9)
    """
    blocks = -(-len(mask) // block)
    padded = np.pad(mask, (0, blocks * block - len(mask)))
    seen = padded.reshape(blocks, block, blocks, block).any(axis=(1, 3))
    return int((~seen).sum()), seen.size


def block_sparsity(mask: Table, block: int = BLOCK) -> float:
    """Share of empty blocks, which FlexAttention never computes, in percent.

    Equals PyTorch's `BlockMask.sparsity()` where T is a multiple of the block. Elsewhere PyTorch
    divides whole blocks by T * T instead of the blocks' own area: one block over 37 tokens gives
    -1096.8 %. Here it is 0 %, because no block is left out.

    >>> block_sparsity(causal(4), block=2)
    25.0
    """
    empty, total = empty_blocks(mask, block)
    return 100 * empty / total


def sparsity_line(mask: Table) -> str:
    """The block sparsity in words, next to the number of blocks that a causal mask leaves empty.

    >>> sparsity_line(causal(200))
    'block sparsity 25.0 %: 1 of 4 blocks of 128x128 empty (causal alone: 1)'
    """
    empty, total = empty_blocks(mask)
    plain, _ = empty_blocks(causal(len(mask)))
    return (
        f"block sparsity {block_sparsity(mask):.1f} %: {empty} of {total} blocks of "
        f"{BLOCK}x{BLOCK} empty (causal alone: {plain})"
    )
