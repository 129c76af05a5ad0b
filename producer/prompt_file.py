r"""Prompt files: a TOML file with a template of one's own, for `--prompt FILE`.

    question = "Question: {question}\n"
    cue = "Answer:"

All texts are literal: what stands in the file is what the model reads.
"""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import Any

from common.errors import UsageError
from common.prompts import Template
from producer.stop_strings import check_stop

_LARGEST = 65_536
"""Bytes of a file."""

_TEXTS = ("instruction", "example", "question", "cue")
_KEYS = (*_TEXTS, "stop", "prediction")
_PLACES = {"example": ("{question}", "{answer}"), "question": ("{question}",)}
_PREDICTIONS = ("line", "word")
_OPTION_WORDS = ("plain", "chat", "concat", "shared", "sequential", "aligned", "thinking")
"""Words of a run's name that say something else there than the name of a prompt file."""

_UNSAFE = re.compile(r"[^A-Za-z0-9._+-]+|\.{2,}")
_AT_LINE = re.compile(r" \(at line (\d+), column (\d+)\)$")
_AT_END = " (at end of document)"


@dataclass(frozen=True)
class PromptFile:
    """The content of a prompt file.

    name: the file's name in run names. stop: None if the file does not say. takes_examples:
    whether it says how an example is written.
    """

    name: str
    template: Template
    stop: tuple[str, ...] | None
    takes_examples: bool


def read_prompt_file(path: str) -> PromptFile:
    """Read and check a prompt file. Raises UsageError with the file, the line and the rule."""
    text = _read(path)
    fields = _parse(path, text)
    for key, value in fields.items():
        if problem := _problem(key, value):
            raise UsageError(f"{_place(path, text, key)}: {problem}")
    if "question" not in fields:
        raise UsageError(
            f"--prompt {path}: the key `question` is missing; it holds the text of a question, "
            "such as question = 'Q: {question}'"
        )
    stop = fields.get("stop")
    texts = {key: fields.get(key, "") for key in _TEXTS}
    template = Template(**texts, gap="", prediction=fields.get("prediction", "line"))
    checked = None if stop is None else check_stop(stop, f"{_place(path, text, 'stop')}: stop")
    return PromptFile(_name(path), template, checked, "example" in fields)


def _read(path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            content = file.read(_LARGEST + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(
            f"--prompt {path!r} is neither plain nor chat, nor a prompt file that can be read: "
            f"{reason}"
        ) from None
    if len(content) > _LARGEST:
        raise UsageError(
            f"--prompt {path}: the file has more than {_LARGEST} bytes, which is the most for a "
            "prompt file"
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UsageError(
            f"--prompt {path}, line {line}: the text is not UTF-8; save the file in that encoding"
        ) from None


def _parse(path: str, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message, line = str(error), len(text.splitlines()) or 1
        column = ""
        if place := _AT_LINE.search(message):
            line, column = int(place[1]), f", column {place[2]}"
        reason = _AT_LINE.sub("", message).removesuffix(_AT_END)
        raise UsageError(
            f"--prompt {path}, line {line}{column}: no valid TOML: {reason}"
        ) from None


def _problem(key: str, value: Any) -> str | None:
    """What is wrong with a key or its value, if anything."""
    got = shorten(repr(value), 60)
    if key not in _KEYS:
        return f"the key {key!r} is not known; known are {', '.join(_KEYS)}"
    if key == "stop":
        is_list = isinstance(value, list) and all(isinstance(text, str) for text in value)
        return None if is_list else f'stop must be a list of texts, such as ["\\n"], and is {got}'
    if key == "prediction":
        return None if value in _PREDICTIONS else f"prediction must be line or word, and is {got}"
    if not isinstance(value, str):
        return f"{key} must be a text in quotes, and is {got}"
    missing = [place for place in _PLACES.get(key, ()) if place not in value]
    return f"{key} has no place {' and no place '.join(missing)}" if missing else None


def _place(path: str, text: str, key: str) -> str:
    line = _line_of(text, key)
    return f"--prompt {path}, line {line}" if line else f"--prompt {path}"


def _line_of(text: str, key: str) -> int | None:
    """The line where a key stands. A line inside of a text that only looks so does not count."""
    named = re.compile(rf"\s*\[*\s*[\"']?{re.escape(key)}[\"']?\s*[=.\]]")
    lines = text.splitlines()
    for number, line in enumerate(lines):
        if named.match(line) and _is_complete("\n".join(lines[:number])):
            return number + 1
    return None


def _is_complete(text: str) -> bool:
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return False
    return True


def _name(path: str) -> str:
    """The file's name without its ending, as run names may have it."""
    name = _UNSAFE.sub("-", Path(path).stem).strip("-.") or "file"
    if name.startswith("thinking") or name in _OPTION_WORDS:
        raise UsageError(
            f"--prompt {path}: {name} means something else in the name of a run; give the file "
            "another name"
        )
    return name
