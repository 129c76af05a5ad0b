"""Prompt text: the template of a data set, and the parts that it is made of.

Knows text only; `worker.model.tokenizer` makes tokens of it.

    >>> t = Template(instruction="Answer.")
    >>> t.prompt("who?", [("what?", "that")])
    'Answer.\\n\\nQ: what?\\nA: that\\n\\nQ: who?\\nA:'
"""

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict

_AROUND_WORDS = ".,;:!?\"'()[]"

Example = tuple[str, str]


class Template(BaseModel):
    """The text around a question; part of a run's fingerprint.

    prediction: which part of the generated text is the answer, the first "line" or first "word".
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    instruction: str
    question: str = "Q: "
    cue: str = "A:"
    prediction: Literal["line", "word"] = "line"

    def prefix(self, few_shot: Sequence[Example]) -> str:
        """Return everything before the question, up to and including the blank line."""
        entries = [f"{self.segment(q)}{self.cue} {a}" for q, a in few_shot]
        return "".join(f"{block}\n\n" for block in [self.instruction, *entries] if block)

    def segment(self, paraphrase: str) -> str:
        """Return the text of one paraphrase inside a packed prompt."""
        return f"{self.question}{paraphrase}\n"

    def prompt(self, paraphrase: str, few_shot: Sequence[Example]) -> str:
        """Return the plain prompt of one paraphrase."""
        return f"{self.prefix(few_shot)}{self.segment(paraphrase)}{self.cue}"

    def predict(self, generation: str) -> str:
        """Return the answer in a generated text.

        >>> Template(instruction="").predict(" New York\\nQ: next?")
        'New York'
        >>> Template(instruction="", prediction="word").predict(" Paris, of course")
        'Paris'
        """
        line = generation.partition("\n")[0].strip()
        if self.prediction == "line":
            return line
        return line.split()[0].strip(_AROUND_WORDS) if line else ""


QUESTION_ANSWERING = Template(
    instruction=(
        "Answer the question based on general world knowledge. Provide a short and direct answer."
    )
)
