"""The commands tail and doctor: what workers write just now, and whether all can work."""

import json
import sys

import click

from producer.commands.shared import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    open_named,
    print_line,
    settings_from,
)
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

    Stays until the run is merged, stopped or cancelled; Ctrl-C ends it sooner. Of a merged run the
    last rows are shown.

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


@click.command()
@store_option
@broker_option
@click.option("--json", "as_json", is_flag=True, help="One JSON document for scripts.")
def doctor(store: str | None, broker: str | None, as_json: bool) -> None:
    """Examine Redis, the store, workers and queues, and say what is to be mended.

    Exits with 1 if anything is a fault, with 0 if there are warnings at most.

    \b
    Example:
        producer doctor --store /data/ensembles --broker redis://:password@gpu-1:6379/0
    """
    from producer.doctor.examination import examine

    findings = examine(settings_from(store, broker))
    if as_json:
        print_line(json.dumps([finding.document() for finding in findings]))
    else:
        for finding in findings:
            print_line(finding.line())
    if any(finding.level == "fault" for finding in findings):
        sys.exit(EXIT_FAILED)


COMMANDS = (tail, doctor)
