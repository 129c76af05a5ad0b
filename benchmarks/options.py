"""What the commands have in common: their class, and options that several take."""

from collections.abc import Callable
from typing import Any

import click

from common.errors import SelfEnsembleError, first_line

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class Benchmark(click.Command):
    """A command whose errors of ours are one sentence and an exit status of 1."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (SelfEnsembleError, OSError) as error:
            raise click.ClickException(first_line(error)) from error


def model_option(default: str) -> Decorator:
    return click.option(
        "--model",
        default=default,
        show_default=True,
        help="Short name, hub id or local directory.",
    )


repeats_option: Decorator = click.option(
    "--repeats",
    type=click.IntRange(1, 99),
    default=3,
    show_default=True,
    help="Timings of each row, of which the median counts; fewer where they take long.",
)


def samples_option(default: Any, most: int, help: str, **more: Any) -> Decorator:
    return click.option(
        "--samples",
        type=click.IntRange(1, most),
        default=default,
        show_default=True,
        help=help,
        **more,
    )
