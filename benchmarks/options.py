"""The class of the commands, and options that several commands share."""

from collections.abc import Callable
from typing import Any

import click

from common.errors import SelfEnsembleError, first_line

OptionDecorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class Benchmark(click.Command):
    """A command that prints this project's errors as one sentence and exits with status 1."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (SelfEnsembleError, OSError) as error:
            raise click.ClickException(first_line(error)) from error


def model_option(default: str) -> OptionDecorator:
    return click.option(
        "--model",
        default=default,
        show_default=True,
        help="Short name, hub id or local directory.",
    )


repeats_option: OptionDecorator = click.option(
    "--repeats",
    type=click.IntRange(1, 99),
    default=3,
    show_default=True,
    help="Timings of each row, of which the median counts; fewer where they take long.",
)


def samples_option(default: Any, most: int, help: str, **more: Any) -> OptionDecorator:
    return click.option(
        "--samples",
        type=click.IntRange(1, most),
        default=default,
        show_default=True,
        help=help,
        **more,
    )
