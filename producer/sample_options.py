"""Click options of the commands that show one sample: `mask` and `prompt`.

Those of `enqueue` that decide a prompt, with defaults that need nothing but what is installed.
"""

from collections.abc import Callable
from typing import Any

import click

from common.methods import METHODS
from producer.options import prompt_options

_SAMPLE = [
    click.option("--dataset", default="webqa_mini", show_default=True, help="As in `enqueue`."),
    click.option("--uuid", help="The sample to show.  [default: the first]"),
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
        help="Whose prompts, and how they are packed.",
    ),
]


def sample_options(num_few_shot: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Options that choose a sample and its prompts. num_few_shot: the default, in words."""
    shots = click.option(
        "--num-few-shot",
        type=click.IntRange(0, 64),
        help=f"Examples; 0 for none.  [default: {num_few_shot}]",
    )

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        command = shots(prompt_options(command))
        for option in reversed(_SAMPLE):
            command = option(command)
        return command

    return decorate
