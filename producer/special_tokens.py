"""Find special tokens spelled in text: a tokenizer reads `</s>` in a question as end of text.

The producer has no tokenizer. It reads the special tokens from the model's files if this host has
the files, and otherwise looks for common spellings.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, TypeGuard

from common.models import ModelSource
from common.records import Sample
from producer.model_files import model_folders, read_document

COMMON = re.compile(
    r"<\|[^|<>\s]{1,40}\|>"
    r"|</?s>|<(?:unk|pad|bos|eos|mask|sep|cls|start_of_turn|end_of_turn|think|image|audio)>"
    r"|\[/?(?:INST|TOOL_CALLS|AVAILABLE_TOOLS|TOOL_RESULTS|SYSTEM_PROMPT)\]|<</?SYS>>"
    r"|<｜[^｜<>]{1,40}｜>"
)
"""Spellings in Llama, Qwen, GPT, Gemma, Mistral and DeepSeek tokenizers."""

_NAMED = re.compile(r"(?:bos|eos|unk|pad|sep|cls|mask)_token")


class SpecialTokens:
    """Looks for special tokens of one model in the samples that pass through `watch`.

    tokens: spellings of the model's special tokens; empty if they are not known.
    """

    @classmethod
    def read(cls, model: ModelSource) -> "SpecialTokens":
        """Read the special tokens from the model's files, if they are on this host."""
        return cls(model.slug, known_tokens(model))

    def __init__(self, model_name: str, tokens: Collection[str]) -> None:
        self._model_name = model_name
        self._known = bool(tokens)
        longest_first = sorted(tokens, key=len, reverse=True)
        self._spelled = re.compile("|".join(map(re.escape, longest_first))) if tokens else COMMON
        self._num_spelled = 0
        self._num_read = 0
        self._first = ""

    def watch(self, samples: Iterable[Sample], where: Callable[[], str]) -> Iterator[Sample]:
        """Yield the samples unchanged. where: names the row that is being read."""
        for sample in samples:
            self._num_read += 1
            if spelled := self._spelled.search("\n".join(sample.paraphrases)):
                self._num_spelled += 1
                self._first = self._first or f"{where()} (uuid {sample.uuid}): {spelled.group()!r}"
            yield sample

    def notes(self, around: str = "") -> tuple[str, ...]:
        """Sentences to show to the user. around: the text of every prompt around a question."""
        which = "special tokens" if self._known else "what are special tokens of many models"
        ending = f"the tokenizer of {self._model_name} reads such text as the token it names"
        if not self._known:
            ending = f"if they are of {self._model_name}, too, its tokenizer reads them as such"
        notes = []
        if self._num_spelled:
            notes.append(
                f"{self._num_spelled} of {self._num_read} questions spell {which}, the first in "
                f"{self._first}; {ending}"
            )
        if spelled := self._spelled.search(around):
            notes.append(f"instruction or examples spell {which}: {spelled.group()!r}; {ending}")
        return tuple(notes)


def known_tokens(model: ModelSource) -> set[str]:
    """Spellings of the model's special tokens; empty if this host does not have its files."""
    tokens: set[str] = set()
    for folder in model_folders(model):
        tokens |= _configured_tokens(read_document(folder / "tokenizer_config.json"))
        tokens |= _special_tokens(read_document(folder / "tokenizer.json").get("added_tokens"))
    return tokens


def _configured_tokens(fields: dict[str, Any]) -> set[str]:
    """The special tokens that tokenizer_config.json names."""
    named = [value for name, value in fields.items() if _NAMED.fullmatch(name)]
    spelled = {value.get("content") if isinstance(value, dict) else value for value in named}
    decoder = fields.get("added_tokens_decoder")
    listed = list(decoder.values()) if isinstance(decoder, dict) else []
    return {text for text in spelled if _stands_out(text)} | _special_tokens(listed)


def _special_tokens(entries: Any) -> set[str]:
    """The special tokens in a list of added tokens."""
    listed = entries if isinstance(entries, list) else []
    tokens = [entry for entry in listed if isinstance(entry, dict) and entry.get("special")]
    return {token["content"] for token in tokens if _stands_out(token.get("content"))}


def _stands_out(text: Any) -> TypeGuard[str]:
    """Whether a token is long enough and begins with punctuation: plain text spells others."""
    return isinstance(text, str) and len(text) > 1 and not (text[0].isalnum() or text[0].isspace())
