"""What is asked of the engine in one call, and what the call took."""

from collections.abc import Sequence
from dataclasses import dataclass

from common.methods import Method
from common.prompts import Example, Template
from common.records import Sample
from common.run import Layout, Positions, SamplingParams


def as_sample(given: Sample | Sequence[str]) -> Sample:
    """Take paraphrases alone for a sample of which nothing else is known."""
    return given if isinstance(given, Sample) else Sample(tuple(given))


@dataclass(frozen=True)
class Request:
    """What is asked of every sample of a call.

    num_paraphrases: how many are read at most. sampling: for methods that draw answers.
    """

    methods: tuple[Method, ...]
    num_paraphrases: int
    layout: Layout
    positions: Positions
    template: Template
    few_shot: tuple[Example, ...]
    max_new_tokens: int
    sampling: SamplingParams | None = None


@dataclass
class Counts:
    """Work done by a call: tokens computed in prefill, fed in decode, and seconds of each."""

    prefill_tokens: int = 0
    decode_tokens: int = 0
    prefill_seconds: float = 0.0
    decode_seconds: float = 0.0
