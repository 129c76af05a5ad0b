"""Input of one engine call, and the counts of its work."""

from collections.abc import Sequence
from dataclasses import dataclass

from common.methods import Method
from common.prompts import PromptFormat
from common.records import Sample
from common.run import Layout, Positions, SamplingParams


def as_sample(question: Sample | Sequence[str]) -> Sample:
    """Return a Sample as it is, or make one of a question's paraphrases."""
    return question if isinstance(question, Sample) else Sample(tuple(question))


@dataclass(frozen=True)
class Request:
    """Methods and options, the same for every sample of a call.

    num_paraphrases: the most that are read of a sample. stop: texts that end an answer, outside
    of reasoning. max_reasoning_tokens: after so many the end mark of reasoning is forced; None for
    no limit of its own. sampling: for methods that draw answers.
    """

    methods: tuple[Method, ...]
    num_paraphrases: int
    layout: Layout
    positions: Positions
    prompt_format: PromptFormat
    max_new_tokens: int
    stop: tuple[str, ...] = ("\n",)
    max_reasoning_tokens: int | None = None
    sampling: SamplingParams | None = None


@dataclass
class Counts:
    """Work of a call: tokens computed in prefill, tokens fed in decoding, seconds of each."""

    prefill_tokens: int = 0
    decode_tokens: int = 0
    prefill_seconds: float = 0.0
    decode_seconds: float = 0.0

    def answered(self, samples: int) -> None:
        """Hear that so many more samples are answered; below 0 takes back those that failed."""
