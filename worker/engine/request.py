"""What is asked of the engine in one call, and what the call took."""

from dataclasses import dataclass

from common.methods import Method
from common.prompts import Example, Template
from common.run import Layout, Positions


@dataclass(frozen=True)
class Request:
    """What is asked of every sample of a call."""

    methods: tuple[Method, ...]
    num_wordings: int
    layout: Layout
    positions: Positions
    template: Template
    few_shot: tuple[Example, ...]
    max_new_tokens: int


@dataclass
class Counts:
    """Work done by a call: tokens computed in prefill, fed in decode, and seconds of each."""

    prefill_tokens: int = 0
    decode_tokens: int = 0
    prefill_seconds: float = 0.0
    decode_seconds: float = 0.0
