"""Layouts: the tokens of whole prompts -> their cut -> one packed prompt.

Integers in, integers out. This is the definition; the engine plans which parts of a packed prompt
are computed once for several sequences.
"""

from common.layout.cut import (
    PromptFrame,
    PromptTokens,
    TokenIds,
    common_prefix,
    cut_frame,
    cut_prompts,
)
from common.layout.packing import PackedPrompt, pack_fused, pack_plain

__all__ = [
    "PackedPrompt",
    "PromptFrame",
    "PromptTokens",
    "TokenIds",
    "common_prefix",
    "cut_frame",
    "cut_prompts",
    "pack_fused",
    "pack_plain",
]
