"""Special tokens spelled in text: a tokenizer reads `</s>` in a question as the end of a text.

The producer has no tokenizer. It reads the names of the tokens from the model's files where those
are at hand, and looks for common spellings where they are not.
"""

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeGuard

from platformdirs import user_cache_path

from common.models import ModelSource
from common.records import Sample

COMMON = re.compile(
    r"<\|[^|<>\s]{1,40}\|>"
    r"|</?s>|<(?:unk|pad|bos|eos|mask|sep|cls|start_of_turn|end_of_turn|think|image|audio)>"
    r"|\[/?(?:INST|TOOL_CALLS|AVAILABLE_TOOLS|TOOL_RESULTS|SYSTEM_PROMPT)\]|<</?SYS>>"
    r"|<｜[^｜<>]{1,40}｜>"
)
"""Spellings in Llama, Qwen, GPT, Gemma, Mistral and DeepSeek tokenizers."""

_NAMED = re.compile(r"(?:bos|eos|unk|pad|sep|cls|mask)_token")


class SpecialTokens:
    """Looks for special tokens of one model in the samples that pass through `watch`."""

    def __init__(self, model: ModelSource) -> None:
        self._model = model
        tokens = known_tokens(model)
        self._known = bool(tokens)
        longest_first = sorted(tokens, key=len, reverse=True)
        self._spelled = re.compile("|".join(map(re.escape, longest_first))) if tokens else COMMON
        self._found = 0
        self._read = 0
        self._first = ""

    def watch(self, samples: Iterable[Sample], where: Callable[[], str]) -> Iterator[Sample]:
        """The samples as they are. where: which row is being read."""
        for sample in samples:
            self._read += 1
            if spelled := self._spelled.search("\n".join(sample.paraphrases)):
                self._found += 1
                self._first = self._first or f"{where()} (uuid {sample.uuid}): {spelled.group()!r}"
            yield sample

    def notes(self, prefix: str = "") -> tuple[str, ...]:
        """Sentences for the person. prefix: what every prompt begins with."""
        which = "special tokens" if self._known else "what are special tokens of many models"
        ending = f"the tokenizer of {self._model.slug} reads such text as the token it names"
        if not self._known:
            ending = f"if they are of {self._model.slug}, too, its tokenizer reads them as such"
        notes = []
        if self._found:
            notes.append(
                f"{self._found} of {self._read} questions spell {which}, the first in "
                f"{self._first}; {ending}"
            )
        if spelled := self._spelled.search(prefix):
            notes.append(f"instruction or examples spell {which}: {spelled.group()!r}; {ending}")
        return tuple(notes)


def known_tokens(model: ModelSource) -> set[str]:
    """Spellings of the model's special tokens; empty where its files are not on this host."""
    found: set[str] = set()
    for folder in _folders(model):
        found |= _of_configuration(_document(folder / "tokenizer_config.json"))
        found |= _of_list(_document(folder / "tokenizer.json").get("added_tokens"))
    return found


def _folders(model: ModelSource) -> list[Path]:
    if model.kind == "directory":
        return [Path(model.location)]
    if model.kind == "gguf_package":
        return [user_cache_path("self-ensemble") / "models" / model.slug]
    name = f"models--{model.location.replace('/', '--')}"
    return sorted((_hub_cache() / name / "snapshots").glob("*"))


def _hub_cache() -> Path:
    """As huggingface_hub finds it, which must not be imported before it is known to be online."""
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    home = os.environ.get("HF_HOME", f"{cache}/huggingface")
    return Path(os.environ.get("HF_HUB_CACHE", f"{home}/hub")).expanduser()


def _document(path: Path) -> dict[str, Any]:
    """A JSON file; empty where it is not there, or damaged, which is for the worker to refuse."""
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def _of_configuration(fields: dict[str, Any]) -> set[str]:
    named = [value for name, value in fields.items() if _NAMED.fullmatch(name)]
    spelled = {value.get("content") if isinstance(value, dict) else value for value in named}
    decoder = fields.get("added_tokens_decoder")
    listed = list(decoder.values()) if isinstance(decoder, dict) else []
    return {text for text in spelled if _stands_out(text)} | _of_list(listed)


def _of_list(entries: Any) -> set[str]:
    """The special ones of a list of added tokens."""
    listed = entries if isinstance(entries, list) else []
    tokens = [entry for entry in listed if isinstance(entry, dict) and entry.get("special")]
    return {token["content"] for token in tokens if _stands_out(token.get("content"))}


def _stands_out(text: Any) -> TypeGuard[str]:
    """Not what begins as a word does: to look for that takes a look at every word."""
    return isinstance(text, str) and len(text) > 1 and not (text[0].isalnum() or text[0].isspace())
