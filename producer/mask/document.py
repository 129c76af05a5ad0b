"""The picture as one JSON document, for scripts."""

from typing import Any

from producer.mask.picture import MaskPicture
from producer.mask.sparsity import BLOCK, block_sparsity


def mask_document(picture: MaskPicture) -> dict[str, Any]:
    """JSON-able. Per token: tokens, token_ids, positions, group_ids, in prompt order.

    table[q][k]: whether group q sees group k, later tokens apart. A token q sees a token k if
    k <= q and table[group_ids[q]][group_ids[k]]. block_sparsity: in percent.
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
