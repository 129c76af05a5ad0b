"""Options of `producer mask`: the prompt options of `enqueue`, with defaults for a picture."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from common.methods import METHODS
from producer.options import prompt_options

_SAMPLE = [
    click.option("--dataset", default="webqa_mini", show_default=True, help="As in `enqueue`."),
    click.option("--uuid", help="The sample to draw.  [default: the first]"),
    click.option(
        "--num-few-shot",
        type=click.IntRange(0, 64),
        help="Examples; 0 for none.  [default: 1, so that a picture fits]",
    ),
    click.option(
        "--model",
        default="smollm2_135m_it",
        show_default=True,
        help="Whose tokenizer: short name, hub id or local directory.",
    ),
    click.option(
        "--method",
        default="flex_attention",
        show_default=True,
        type=click.Choice(list(METHODS)),
        help="Whose prompt and visibility table.",
    ),
]

_OUTPUT = [
    click.option("--png", type=click.Path(path_type=Path), help="Write an image there instead."),
    click.option("--json", "as_json", is_flag=True, help="One JSON document for scripts."),
]


def mask_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of `mask`."""
    for option in reversed(_OUTPUT):
        command = option(command)
    command = prompt_options(command)
    for option in reversed(_SAMPLE):
        command = option(command)
    return command
