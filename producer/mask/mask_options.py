"""Options of `producer mask`: the prompt options of `enqueue`, with defaults for a picture."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from producer.sample_options import sample_options

_OUTPUT = [
    click.option("--png", type=click.Path(path_type=Path), help="Write an image there instead."),
    click.option("--json", "as_json", is_flag=True, help="One JSON document for scripts."),
]


def mask_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of `mask`."""
    for option in reversed(_OUTPUT):
        command = option(command)
    return sample_options("1, so that a picture fits")(command)
