"""What is asked of the engine in one call, and what the call took."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Union

from common.methods import Method
from common.prompts import Example, Template
from common.run import Layout, Positions, SamplingParams


@dataclass(frozen=True)
class Question:
    """What the engine is given of one sample.

    num_manual: how many of the paraphrases, the first ones, were written by hand. confidences: of
    each paraphrase. seed: names the sample wherever something is drawn for it.
    """

    paraphrases: tuple[str, ...]
    num_manual: int | None = None
    confidences: tuple[float, ...] | None = None
    seed: str = ""

    @classmethod
    def of(cls, given: "Asked") -> "Question":
        """Take paraphrases alone for a question of which nothing else is known."""
        return given if isinstance(given, Question) else cls(tuple(given))


Asked = Union[Question, Sequence[str]]  # noqa: UP007  (a forward reference)


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
