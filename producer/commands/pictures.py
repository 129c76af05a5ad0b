"""The command mask."""

from pathlib import Path
from typing import Any

import click

from producer.commands.shared import console
from producer.mask.mask_options import mask_options


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


COMMANDS = (mask,)
