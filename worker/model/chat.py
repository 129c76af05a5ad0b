"""Chat prompts: instruction, examples and a question -> the text of the model's own chat template.

Imports no torch: the producer shows prompts with it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from common.errors import StopRun, first_line
from common.prompts import PromptFormat, Template
from common.run import DATE_STRING

Message = dict[str, str]

_SWITCH = "enable_thinking"
_CLOCK = re.compile(r"strftime_now\s*\(\s*(?:'([^']*)'|\"([^\"]*)\")\s*\)")
_CALL = re.compile(r"strftime_now\s*\(")
_DATES = "fixed_dates"
_FIXED_CLOCK = f"{{%- macro strftime_now(format) -%}}{{{{ {_DATES}[format] }}}}{{%- endmacro -%}}"
"""Takes the place of transformers' `strftime_now`, which tells today's date. A function cannot be
handed to a template: transformers replaces whatever is no plain value."""

_PROBE, _PROBE_ANSWER = "What is 7?", "It is a number."


@dataclass(frozen=True)
class ChatTemplate:
    """The chat template of a tokenizer. Raises StopRun if it has none, or cannot be used."""

    tokenizer: PreTrainedTokenizerBase

    @cached_property
    def text(self) -> str:
        """The template itself, in Jinja."""
        try:
            return self.tokenizer.get_chat_template()
        except ValueError as error:
            raise StopRun(
                f"--prompt chat needs a chat template, and the model's tokenizer has none "
                f"({first_line(error)}); take --prompt plain, or an instruct model"
            ) from error

    @property
    def switches_thinking(self) -> bool:
        """Whether the template can switch its model's reasoning on and off."""
        return re.search(rf"\b{_SWITCH}\b", self.text) is not None

    @cached_property
    def takes_system_text(self) -> bool:
        """Whether the template writes a system message. Gemma's raises an error for one."""
        probe = PromptFormat(Template(instruction=_PROBE), style="chat", date_string=DATE_STRING)
        try:
            return _PROBE in self._render(_messages(probe, "7", True), probe)
        except TemplateError:
            return False

    @cached_property
    def end_of_turn(self) -> str:
        """What the template writes behind an answer; "" if it does not show."""
        messages = [
            {"role": "user", "content": _PROBE},
            {"role": "assistant", "content": _PROBE_ANSWER},
        ]
        probe = PromptFormat(Template(instruction=""), style="chat", date_string=DATE_STRING)
        try:
            text = self._render(messages, probe, asks=False)
        except TemplateError:
            return ""
        return text.rpartition(_PROBE_ANSWER)[2] if _PROBE_ANSWER in text else ""

    def prompts(self, prompt_format: PromptFormat, paraphrases: Sequence[str]) -> list[str]:
        """Return the text that asks each paraphrase, ready for the model's turn."""
        system = not prompt_format.template.instruction or self.takes_system_text
        try:
            return [
                self._render(_messages(prompt_format, paraphrase, system), prompt_format)
                for paraphrase in paraphrases
            ]
        except TemplateError as error:
            raise StopRun(
                f"the model's chat template refuses the prompt: {first_line(error)}; "
                "take --prompt plain"
            ) from error

    def _render(
        self, messages: Sequence[Message], prompt_format: PromptFormat, asks: bool = True
    ) -> str:
        """The text of a conversation; `asks`: ready for the model's turn."""
        options: dict[str, Any] = {"chat_template": self._with_fixed_clock()}
        if date := prompt_format.date_string:
            options |= {"date_string": date, _DATES: self._dates(date)}
        if self.switches_thinking:
            options[_SWITCH] = prompt_format.thinking
        return str(
            self.tokenizer.apply_chat_template(
                list(messages), tokenize=False, add_generation_prompt=asks, **options
            )
        )

    def _with_fixed_clock(self) -> str:
        if len(_CALL.findall(self.text)) != len(_CLOCK.findall(self.text)):
            raise StopRun(
                "the model's chat template tells today's date in a form that it computes, so the "
                "prompt would change from day to day; take --prompt plain"
            )
        return _FIXED_CLOCK + self.text if _CALL.search(self.text) else self.text

    def _dates(self, date_string: str) -> dict[str, str]:
        """The date, in each form in which the template asks for today's."""
        date = datetime.strptime(date_string, "%d %b %Y")
        forms = ("".join(quoted) for quoted in _CLOCK.findall(self.text))
        return {form: date.strftime(form) for form in forms}


def _messages(prompt_format: PromptFormat, paraphrase: str, system: bool) -> list[Message]:
    """The conversation that ends with a paraphrase; all texts as they stand.

    system: whether the instruction is a message of its own; else it precedes the first user turn.
    """
    instruction = prompt_format.template.instruction
    messages = [{"role": "system", "content": instruction}] if instruction and system else []
    for question, answer in prompt_format.few_shot:
        messages.append({"role": "user", "content": question})
        messages.append({"role": "assistant", "content": answer})
    messages.append({"role": "user", "content": paraphrase})
    if instruction and not system:
        messages[0]["content"] = f"{instruction}\n\n{messages[0]['content']}"
    return messages
