"""The command retry, on runs in the store."""

import click

from producer.commands.shared import open_named, print_line, settings_from
from producer.options import broker_option, store_option


@click.command()
@click.argument("run_name", metavar="RUN")
@click.option("--all", "every", is_flag=True, help="Also those that failed by their own fault.")
@store_option
@broker_option
def retry(run_name: str, every: bool, store: str | None, broker: str | None) -> None:
    """Answer again the rows that failed by a fault of a worker.

    Such as out of memory or a process that was killed (column `error_kind`). The merged file stays
    as it is until all of them are answered.

    \b
    Example:
        producer retry webqa/llama3.2_3b_it/flex_attention-5
    """
    from producer.retrying import retry_run

    settings = settings_from(store, broker)
    for line in retry_run(settings, open_named(run_name, store), every).lines():
        print_line(line)


COMMANDS = (retry,)
