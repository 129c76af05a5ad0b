"""The command tail: what a run's workers write just now."""

import json
import sys

import click

from producer.commands.shared import EXIT_INTERRUPTED, open_named, print_line, settings_from
from producer.options import broker_option, store_option


@click.command()
@click.argument("run_name", metavar="RUN")
@click.option(
    "--lines",
    type=click.IntRange(0),
    default=10,
    show_default=True,
    help="Rows of before to begin with.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document per row.")
@store_option
@broker_option
def tail(run_name: str, lines: int, as_json: bool, store: str | None, broker: str | None) -> None:
    """Show the rows of a run as workers write them, after the newest that there are.

    Stays until the run is merged or stopped; Ctrl-C ends it sooner. Of a merged run the last rows
    are shown.

    \b
    Example:
        producer tail webqa/llama3.2_3b_it/flex_attention-5 --lines 3
    """
    from producer.stop_reasons import stop_reason_of
    from producer.tail import describe_row, follow_rows

    run = open_named(run_name, store)
    try:
        for row in follow_rows(run, lines, stop_reason_of(run, settings_from(store, broker))):
            print_line(json.dumps(row) if as_json else describe_row(row))
            sys.stdout.flush()
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)


COMMANDS = (tail,)
