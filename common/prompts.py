"""Prompt text: the template of a data set, and the pieces it is made of.

Knows text only; tokens are `worker.engine.tokenise`.

    >>> t = Template(instruction="Answer.")
    >>> t.prompt("who?", [("what?", "that")])
    'Answer.\\n\\nQ: what?\\nA: that\\n\\nQ: who?\\nA:'
"""

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

Example = tuple[str, str]


class Template(BaseModel):
    """How questions are put to the model; part of a run's fingerprint."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    instruction: str
    question: str = "Q: "
    cue: str = "A:"

    def prefix(self, few_shot: Sequence[Example]) -> str:
        """Everything before the question, up to and including the blank line."""
        entries = [f"{self.segment(q)}{self.cue} {a}" for q, a in few_shot]
        return "".join(f"{block}\n\n" for block in [self.instruction, *entries] if block)

    def segment(self, wording: str) -> str:
        """One wording inside a packed prompt."""
        return f"{self.question}{wording}\n"

    def prompt(self, wording: str, few_shot: Sequence[Example]) -> str:
        """The plain prompt: what a model is asked when there is one wording only."""
        return f"{self.prefix(few_shot)}{self.segment(wording)}{self.cue}"


QUESTION_ANSWERING = Template(
    instruction=(
        "Answer the question based on general world knowledge. Provide a short and direct answer."
    )
)
