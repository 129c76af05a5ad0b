"""Prompt text: the template of a data set, and the format in which a model is asked.

Knows text only; `worker.model.tokenizer` makes tokens of it.

    >>> t = Template(instruction="Answer.")
    >>> t.prompt("who?", [("what?", "that")])
    'Answer.\\n\\nQ: what?\\nA: that\\n\\nQ: who?\\nA:'
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator

_AROUND_WORDS = ".,;:!?\"'()[]"
_PLACE = re.compile(r"\{(question|answer)\}")

Example = tuple[str, str]
PromptStyle = Literal["plain", "chat"]


class Template(BaseModel):
    """The text around a question; part of a run's fingerprint.

    instruction: the first text of a plain prompt, followed by `gap` unless it is empty.
    example, question: texts with the places `{question}` and `{answer}`. example is empty in a
        template that shows no examples.
    prediction: which part of the generated text is the answer, the first "line" or first "word".
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    instruction: str
    gap: str = "\n\n"
    example: str = "Q: {question}\nA: {answer}\n\n"
    question: str = "Q: {question}\n"
    cue: str = "A:"
    prediction: Literal["line", "word"] = "line"

    @field_validator("example", "question")
    @classmethod
    def _has_its_places(cls, text: str, info: ValidationInfo) -> str:
        if info.field_name == "example" and not text:
            return text
        places = {"example": ("{question}", "{answer}"), "question": ("{question}",)}
        for place in places[str(info.field_name)]:
            if place not in text:
                raise ValueError(f"{info.field_name} must hold {place}, not only {text!r}")
        return text

    def prefix(self, few_shot: Sequence[Example]) -> str:
        """Return everything before the question."""
        examples = [fill(self.example, question=q, answer=a) for q, a in few_shot]
        return "".join([self.instruction, self.gap if self.instruction else "", *examples])

    def prompt(self, paraphrase: str, few_shot: Sequence[Example]) -> str:
        """Return the plain prompt of one paraphrase."""
        return f"{self.prefix(few_shot)}{fill(self.question, question=paraphrase)}{self.cue}"

    def predict(self, generation: str) -> str:
        """Return the answer in a generated text: of its first line that is not blank.

        >>> Template(instruction="").predict(" New York\\nQ: next?")
        'New York'
        >>> Template(instruction="", prediction="word").predict(" Paris, of course")
        'Paris'
        """
        lines = (line.strip() for line in generation.split("\n"))
        line = next(filter(None, lines), "")
        if self.prediction == "line":
            return line
        return line.split()[0].strip(_AROUND_WORDS) if line else ""


@dataclass(frozen=True)
class PromptFormat:
    """Everything but the paraphrase that decides a literal prompt and its tokens.

    style: "plain" writes the template's text; "chat" makes messages of its parts, which the
        tokenizer's own chat template writes.
    thinking: whether a chat template that can switch its model's reasoning on does so.
    date_string: the date for chat templates that tell one; None in plain prompts.
    """

    template: Template
    few_shot: tuple[Example, ...] = ()
    style: PromptStyle = "plain"
    thinking: bool = False
    date_string: str | None = None


def fill(text: str, **texts: str) -> str:
    """Put texts in their places, all at once: a question may itself spell `{answer}`.

    >>> fill("Q: {question}\\nA: {answer}", question="{answer}?", answer="7")
    'Q: {answer}?\\nA: 7'
    """
    return _PLACE.sub(lambda place: texts.get(place[1], place[0]), text)


def before_stop(text: str, stop: Sequence[str]) -> str:
    """Return the text before the stop string that is complete first; all of it if there is none.

    Of stop strings that end at one character the longest counts.

    >>> before_stop("Paris\\n\\nQ: who", ["Q:", "\\n\\n"])
    'Paris'
    """
    places = [(text.find(s) + len(s), text.find(s)) for s in stop if s in text]
    return text[: min(places)[1]] if places else text


QUESTION_ANSWERING = Template(
    instruction=(
        "Answer the question based on general world knowledge. Provide a short and direct answer."
    )
)
