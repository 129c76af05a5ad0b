"""Chat prompts: instruction, examples and a question -> the text of the model's own chat template.

Imports no torch, because the producer shows prompts, too.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from common.errors import SampleError, SelfEnsembleError, StopRun, first_line
from common.prompts import PromptFormat, Template
from common.run import DATE_STRING
from worker.model.reasoning import MARKS
from worker.model.resolved_setting import ResolvedSetting

Message = dict[str, str]

_SWITCH = "enable_thinking"
_COMMENT = re.compile(r"\{#.*?#\}", re.DOTALL)
_CLOCK = re.compile(r"\bstrftime_now\b(?!\s+is\b)")
_CLOCK_READ = re.compile(r"\bstrftime_now\s*\(\s*('[^'\\]*'|\"[^\"\\]*\")\s*\)")
_DATE = re.compile(r"\bdate_string\b")

_REFUSALS = (TemplateError, ArithmeticError, LookupError, TypeError, ValueError)
"""Errors that a template raises by its own decision, or because it expects other messages."""

_PROBE, _PROBE_ANSWER = "What is 7?", "It is a number."


@dataclass(frozen=True)
class ChatTemplate:
    """The chat template of a tokenizer. Raises StopRun if it has none, or cannot be used."""

    tokenizer: PreTrainedTokenizerBase

    @cached_property
    def text(self) -> str:
        """The template itself, in Jinja; of several the one named `default`."""
        try:
            return self.tokenizer.get_chat_template()
        except ValueError as error:
            several = self.tokenizer.chat_template
            has = f"{', '.join(several)}, and no `default`" if several else "none"
            raise StopRun(
                f"--prompt chat needs a chat template, and the model's tokenizer has {has}; "
                "take --prompt plain, or an instruct model"
            ) from error

    @property
    def switches_thinking(self) -> bool:
        """Whether the template can switch its model's reasoning on and off."""
        return re.search(rf"\b{_SWITCH}\b", self._code) is not None

    @property
    def tells_date(self) -> bool:
        """Whether the template puts a date into the prompt, today's unless another is given."""
        return any(place.search(self._code) for place in (_CLOCK, _DATE))

    @cached_property
    def takes_system_text(self) -> bool:
        """Whether the template writes a system message. Gemma's raises an error instead."""
        probe = PromptFormat(Template(instruction=_PROBE), style="chat")
        try:
            return _PROBE in self._render(probe, ["7"], True)[0]
        except _REFUSALS:
            return False

    @cached_property
    def end_of_turn(self) -> str:
        """Text that the template writes behind an answer; "" if a probe does not show any."""
        conversation = [
            {"role": "user", "content": _PROBE},
            {"role": "assistant", "content": _PROBE_ANSWER},
        ]
        probe = PromptFormat(Template(instruction=""), style="chat")
        try:
            (text,) = self._write([conversation], probe, asks=False)
        except _REFUSALS:
            return ""
        return text.rpartition(_PROBE_ANSWER)[2] if _PROBE_ANSWER in text else ""

    @property
    def _shows_reasoning(self) -> bool:
        """Whether the template knows of reasoning, as R1's does, which always asks to reason."""
        return any(start in self.text or end in self.text for start, end in MARKS)

    @cached_property
    def _code(self) -> str:
        return _COMMENT.sub("", self.text)

    def prompts(self, prompt_format: PromptFormat, paraphrases: Sequence[str]) -> list[str]:
        """Return the text that asks each paraphrase, ready for the model's turn.

        Raises SampleError if the template refuses one of these paraphrases.
        """
        try:
            return self._checked(prompt_format, paraphrases)
        except _REFUSALS as error:
            raise self._refusal(prompt_format, error) from error

    def notes(self, prompt_format: PromptFormat) -> dict[str, ResolvedSetting]:
        """Notes on a format in this template, by name: `system text`, `thinking`, `date`.

        Empty for plain prompts; a note is left out where it goes without saying.
        """
        if prompt_format.style != "chat":
            return {}
        notes = {}
        if prompt_format.template.instruction and not self.takes_system_text:
            reason = "the template has no system role"
            notes["system text"] = ResolvedSetting("first user turn", reason)
        if not self.switches_thinking and (prompt_format.thinking or self._shows_reasoning):
            reason = f"the template has no {_SWITCH}"
            notes["thinking"] = ResolvedSetting("not switched", reason)
        if self.tells_date:
            date = prompt_format.date_string or DATE_STRING
            notes["date"] = ResolvedSetting(date, "the template asks for today's date")
        return notes

    def _checked(self, prompt_format: PromptFormat, paraphrases: Sequence[str]) -> list[str]:
        """Render, and raise ValueError for a template that leaves a text out.

        Templates may trim; those that expect lists of texts and images write nothing of a text.
        """
        system = not prompt_format.template.instruction or self.takes_system_text
        prompts = self._render(prompt_format, paraphrases, system)
        shots = [text for example in prompt_format.few_shot for text in example]
        wanted = [(text, prompt) for prompt in prompts[:1] for text in shots]
        for text, prompt in (*wanted, *zip(paraphrases, prompts, strict=True)):
            if text.strip() not in prompt:
                raise ValueError(f"it does not write the text {text[:60]!r} of a turn")
        return prompts

    def _refusal(self, prompt_format: PromptFormat, error: Exception) -> SelfEnsembleError:
        """Return the error of the one text that was refused, or of a template that refuses any."""
        try:
            self._checked(prompt_format, [_PROBE])
        except _REFUSALS as refusal:
            return StopRun(
                f"the model's chat template cannot be used: {first_line(refusal)}; "
                "take --prompt plain"
            )
        return SampleError(f"the model's chat template refuses its text: {first_line(error)}")

    def _render(
        self, prompt_format: PromptFormat, paraphrases: Sequence[str], system: bool
    ) -> list[str]:
        """Write one conversation for each paraphrase."""
        conversations = [_messages(prompt_format, text, system) for text in paraphrases]
        return self._write(conversations, prompt_format) if conversations else []

    def _write(
        self,
        conversations: Sequence[Sequence[Message]],
        prompt_format: PromptFormat,
        asks: bool = True,
    ) -> list[str]:
        """Write conversations in one call, which is twice as fast as a call for each.

        asks: whether they go on with the model's turn.
        """
        date = prompt_format.date_string or DATE_STRING
        options: dict[str, Any] = {"chat_template": self._at(date), "date_string": date}
        if self.switches_thinking:
            options[_SWITCH] = prompt_format.thinking
        rendered = self.tokenizer.apply_chat_template(
            [list(each) for each in conversations],
            tokenize=False,
            add_generation_prompt=asks,
            **options,
        )
        return [str(text) for text in rendered]

    def _at(self, date_string: str) -> str:
        """The template with a date in place of each call of `strftime_now`, which tells today's.

        transformers hands no function to a template, so the clock itself cannot be replaced.
        """
        if len(_CLOCK.findall(self._code)) != len(_CLOCK_READ.findall(self._code)):
            raise StopRun(
                "the model's chat template tells today's date in a form that it computes, so the "
                "prompt would change from day to day; take --prompt plain"
            )
        date = datetime.strptime(date_string, "%d %b %Y")
        return _CLOCK_READ.sub(lambda read: date.strftime(read[1]), self.text)


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
