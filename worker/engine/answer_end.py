"""The end of an answer, and the reasoning in it: rules and texts as plain values.

Imports no torch.
"""

import json
import re
from dataclasses import dataclass

from worker.model.reasoning import ReasoningMarks

LENGTH, EOS = "length", "eos"
"""Finish reasons, beside `stop:<which>`: the answer has all tokens it may have; an end token."""

_ESCAPED = re.compile(r"[\x00-\x1f\\]")


@dataclass(frozen=True)
class EndRules:
    """Rules that end an answer. Raises ValueError for an empty stop string.

    stop: texts, outside of reasoning. Of those complete within one token the one that ends first
    counts, of equal ends the longest. eos_ids: tokens, anywhere. marks: None where nothing is
    reasoning. begins_in_reasoning: whether the prompt ends inside of reasoning.
    """

    stop: tuple[str, ...] = ("\n",)
    eos_ids: tuple[int, ...] = ()
    marks: ReasoningMarks | None = None
    begins_in_reasoning: bool = False

    def __post_init__(self) -> None:
        if "" in self.stop:
            raise ValueError(f"a stop string has at least one character, got {self.stop!r}")


@dataclass(frozen=True)
class AnswerText:
    """The text of an answer.

    whole: the text itself. reasoning: what precedes the last end mark, without marks and without
    spaces at its ends; None if there is none. answer: what follows.
    """

    whole: str
    reasoning: str | None
    answer: str


def stop_reason(stop: str) -> str:
    """Return the finish reason of a stop string; control characters and `\\` are escaped.

    >>> print(stop_reason("\\n"), stop_reason('"Q:"'))
    stop:\\n stop:"Q:"
    """
    return "stop:" + _ESCAPED.sub(lambda sign: json.dumps(sign[0])[1:-1], stop)
