"""The commands mask and prompt: what a run would give its model, for one sample."""

from pathlib import Path
from typing import Any

import click

from producer.commands.shared import console
from producer.mask.mask_options import mask_options
from producer.sample_options import sample_options


@click.command()
@mask_options
def mask(method: str, uuid: str | None, png: Path | None, as_json: bool, **options: Any) -> None:
    """Draw which token of a sample's prompt sees which.

    In the terminal, or as an image with --png; from the very table the engine uses.

    \b
    Example:
        producer mask --layout shared --num-paraphrases 3 --png mask.png
    """
    from producer.mask.draw import draw_mask
    from producer.request import RunRequest

    request = RunRequest(methods=(method,), **options)
    draw_mask(request, uuid, png, as_json, console())


@click.command()
@sample_options("5, or all of --few-shot")
@click.option("--json", "as_json", is_flag=True, help="One JSON document for scripts.")
def prompt(method: str, uuid: str | None, as_json: bool, **options: Any) -> None:
    """Print the literal prompt of each paraphrase of a sample, with its tokens.

    The very tokens that a run with these options reads, and where a packed prompt is cut.

    \b
    Example:
        producer prompt --prompt chat --layout shared --num-paraphrases 2
    """
    from producer.prompt.show_prompts import show_prompts
    from producer.request import RunRequest

    request = RunRequest(methods=(method,), **options)
    show_prompts(request, uuid, as_json, console())


COMMANDS = (mask, prompt)
