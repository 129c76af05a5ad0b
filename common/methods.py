"""The methods, as rows of one table: which streams decode, how their logits become a token.

A method is two choices and nothing else, so the engine has one prefill and one decode loop
and no code per method. Adding a method that combines known choices is adding a row here.

    >>> METHODS["avg"].streams, METHODS["avg"].fusion
    ('each', 'mean_logits')
"""

from dataclasses import dataclass
from typing import Literal

from common.errors import UsageError

Streams = Literal["first", "each", "fused"]
Fusion = Literal["own", "mean_logits", "max_probability"]


@dataclass(frozen=True)
class Method:
    """One way to turn a sample's wordings into an answer.

    streams: "first" decodes wording 0 alone; "each" decodes every wording in a stream of its
        own; "fused" decodes one stream that sees all wordings.
    fusion: how the streams' logits give the next token. "own" keeps streams apart.
    """

    name: str
    streams: Streams
    fusion: Fusion
    summary: str

    @property
    def has_layout(self) -> bool:
        """Whether wordings are packed into one prompt, so layout and positions matter."""
        return self.streams == "fused"

    @property
    def row_per_wording(self) -> bool:
        """Whether a sample gives one row for each wording instead of one in all."""
        return self.streams == "each" and self.fusion == "own"

    def num_wordings(self, num_paraphrases: int) -> int:
        """How many wordings of a sample this method reads."""
        return 1 if self.streams == "first" else num_paraphrases


METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method("origin", "first", "own", "the question as it stands"),
        Method("per_prompt", "each", "own", "every wording answered by itself"),
        Method("avg", "each", "mean_logits", "mean of the wordings' logits at every token"),
        Method("max", "each", "max_probability", "the most probable token over the wordings"),
        Method("flex_attention", "fused", "own", "one stream that attends to all wordings"),
    )
}


def get_method(name: str) -> Method:
    """The row named `name`; raises UsageError that lists the known ones."""
    if name not in METHODS:
        raise UsageError(f"method {name!r} is not known; known are {', '.join(METHODS)}")
    return METHODS[name]
