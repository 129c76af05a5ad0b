"""Options of `mask`: those of `enqueue` that shape one prompt, with defaults for a picture."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from common.methods import METHODS

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)

_MASK = [
    click.option("--dataset", default="webqa_mini", show_default=True, help="As in `enqueue`."),
    click.option("--data", type=_FILE, help="Question file in place of the data set's own."),
    click.option("--uuid", help="The sample to draw.  [default: the first]"),
    click.option("--few-shot", type=_FILE, help="File of few-shot examples."),
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
    click.option(
        "--num-paraphrases",
        type=click.IntRange(1, 64),
        default=5,
        show_default=True,
        help="Wordings, the question itself included.",
    ),
    click.option(
        "--layout",
        type=click.Choice(["concat", "shared"]),
        help="How wordings are packed into one prompt.  [default: concat]",
    ),
    click.option(
        "--positions",
        type=click.Choice(["sequential", "aligned"]),
        help="Of packed wordings.  [default: sequential with concat, aligned with shared]",
    ),
    click.option("--png", type=click.Path(path_type=Path), help="Write an image there instead."),
    click.option("--json", "as_json", is_flag=True, help="One JSON document for scripts."),
]


def mask_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of `mask`."""
    for option in reversed(_MASK):
        command = option(command)
    return command
