"""The command reconcile: sends again what was lost, merges what is complete."""

from typing import Any

import click

from producer.commands.shared import print_line, settings_from
from producer.options import broker_option, store_option


@click.command()
@store_option
@broker_option
@click.option(
    "--every",
    type=click.FloatRange(1),
    metavar="SECONDS",
    help="Look again and again, until Ctrl-C.",
)
def reconcile(store: str | None, broker: str | None, every: float | None) -> None:
    """Send again the rows that were lost, and merge runs that are complete.

    A row is lost if no part, no message and no worker has it, as after the loss of Redis. Workers
    without work look for such rows by themselves, of runs that were enqueued; this looks at every
    run of the store. Runs that are stopped are left alone.

    \b
    Example:
        producer reconcile --every 60
    """
    from producer.reconciling import StoreReconciler

    reconciler = StoreReconciler(settings_from(store, broker))
    lines: Any = reconciler.lines() if every is None else reconciler.changes(every)
    for line in lines:
        print_line(line)


COMMANDS = (reconcile,)
