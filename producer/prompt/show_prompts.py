"""`producer prompt`: write the prompts for people, or as one JSON document."""

import json
from collections.abc import Iterator
from typing import IO

from rich.cells import cell_len
from rich.console import Console

from producer.commands.shared import print_line
from producer.prompt.literal_prompts import (
    LiteralPrompt,
    LiteralPrompts,
    PromptPart,
    literal_prompts,
)
from producer.request import RunRequest

_LONGEST_RULE = 72
_INDENT, _GAP = "    ", "  "


def show_prompts(request: RunRequest, uuid: str | None, as_json: bool, console: Console) -> None:
    """Write the prompts of the sample `uuid`, or of the first. Notes of a document go to stderr.

    Raises what `literal_prompts` raises.
    """
    prompts = literal_prompts(request, uuid)
    if as_json:
        console.file.write(json.dumps(prompts.document()) + "\n")
        for note in prompts.notes:
            print_line(f"note: {note}", err=True)
        return
    _write(prompts, console.file, console.width)


def _write(prompts: LiteralPrompts, file: IO[str], width: int) -> None:
    packed = (prompts.layout, prompts.positions) if prompts.layout else ("not packed",)
    file.write(f"{prompts.dataset}, sample {prompts.uuid}\n")
    file.write(
        f"{', '.join(map(str, (prompts.method, *packed, prompts.model)))}, {prompts.style}\n"
    )
    for number, prompt in enumerate(prompts.prompts):
        file.write(f"\nparaphrase {number}: {_tokens(len(prompt.tokens))}\n")
        file.writelines(_text_and_tokens(prompt, width))
    file.write("\n" if prompts.notes else "")
    file.writelines(f"note: {note}\n" for note in prompts.notes)


def _text_and_tokens(prompt: LiteralPrompt, width: int) -> Iterator[str]:
    """The text as it stands between two rules, then its tokens."""
    rule = "-" * min(width, _LONGEST_RULE)
    yield f"{rule}\n{prompt.text}\n{rule}\n"
    for part in prompt.parts:
        yield f"{part.name}: {_tokens(len(part.tokens))}\n"
        yield from (f"{_INDENT}{line}\n" for line in _lines(part, width - len(_INDENT)))


def _tokens(number: int) -> str:
    return f"{number} token{'' if number == 1 else 's'}"


def _lines(part: PromptPart, width: int) -> Iterator[str]:
    """Tokens with their ids, as many on a line as fit."""
    line = ""
    for token, shown in zip(part.tokens, part.labels, strict=True):
        entry = f"{shown} {token}"
        if line and cell_len(line) + len(_GAP) + cell_len(entry) > width:
            yield line
            line = ""
        line += f"{_GAP if line else ''}{entry}"
    yield line
