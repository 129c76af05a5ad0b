"""The commands runs, status, cancel, delete, merge and verify, on runs in the store."""

import json
import sys
from typing import TYPE_CHECKING

import click

from producer.commands.shared import (
    EXIT_FAILED,
    console,
    glance,
    open_named,
    print_line,
    settings_from,
)
from producer.options import broker_option, store_option

if TYPE_CHECKING:
    from producer.listing import Listing


@click.command()
@store_option
@broker_option
@click.option("--json", "as_json", is_flag=True, help="One JSON document for scripts.")
def runs(store: str | None, broker: str | None, as_json: bool) -> None:
    """List every run in the store, and the runs that wait for another run.

    \b
    Example:
        producer runs --store /data/ensembles
    """
    from common.store import StoreFilesystem
    from producer.listing import list_every_run
    from producer.run_tables import state_document

    settings = settings_from(store, broker)
    opened = StoreFilesystem.open(settings.store)
    listing = list_every_run(opened, glance(settings))
    if as_json:
        print_line(json.dumps([state_document(state, opened) for state in listing.states]))
    elif not listing.states:
        print_line(f"no runs in {opened.uri}")
    _print_states(listing, as_json)


@click.command()
@click.argument("run_name", metavar="RUN")
@store_option
@broker_option
@click.option(
    "--watch", is_flag=True,
    help="Keep it on the screen until the run is merged, stopped or cancelled.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON document for scripts.")
def status(
    run_name: str, store: str | None, broker: str | None, watch: bool, as_json: bool
) -> None:
    """Show how far one run is, and why it does not go on.

    The exit status is 1 if it was watched and has been stopped or cancelled.

    \b
    Example:
        producer status webqa/llama3.2_3b_it/flex_attention-5 --watch
    """
    from common.store import StoreFilesystem
    from producer.listing import find_run
    from producer.run_tables import state_document
    from producer.watch import watch_run

    settings = settings_from(store, broker)
    opened = StoreFilesystem.open(settings.store)
    if watch:
        state = watch_run(opened, run_name, glance(settings), console())
        sys.exit(0 if state.name == "merged" else EXIT_FAILED)
    listing = find_run(opened, run_name, glance(settings))
    if as_json:
        print_line(json.dumps(state_document(listing.states[0], opened)))
    _print_states(listing, as_json)


def _print_states(listing: "Listing", as_json: bool) -> None:
    """Print the table and why runs do not go on; for --json only what is not known now."""
    from common.run_state import UNKNOWN_ACTIVITY
    from producer.run_tables import states_table

    if not as_json:
        rows = [state for state in listing.states if state.name not in ("waiting", "damaged")]
        if rows:
            console().print(states_table(rows))
        for sentence in filter(None, (state.sentence() for state in listing.states)):
            print_line(sentence)
    if not listing.broker_answers:
        print_line(UNKNOWN_ACTIVITY, err=True)


@click.command()
@click.argument("run_name", metavar="RUN")
@store_option
@broker_option
def cancel(run_name: str, store: str | None, broker: str | None) -> None:
    """Have nobody work on a run until it is enqueued again.

    Its queued shards are dropped when workers take them, those at work end with their next group
    of samples. Answers are kept, and runs that depend on this one wait. One that waits itself is
    not created.

    \b
    Example:
        producer cancel webqa/llama3.2_3b_it/flex_attention-5
    """
    from common.run import RunKey
    from common.store import StoreFilesystem
    from common.store.opening import open_listed
    from producer.cancelling import cancel_run

    settings = settings_from(store, broker)
    run = open_listed(StoreFilesystem.open(settings.store), RunKey.parse(run_name))
    workers_told = cancel_run(run, glance(settings))
    print_line(f"{run_name} is cancelled; `producer enqueue` again goes on with it")
    if not workers_told:
        print_line("the broker does not answer, so shards at work are finished first", err=True)


@click.command()
@click.argument("run_names", metavar="RUN...", nargs=-1, required=True)
@store_option
@broker_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--force", is_flag=True, help="Even while a worker is at work on one of them.")
def delete(
    run_names: tuple[str, ...], store: str | None, broker: str | None, yes: bool, force: bool
) -> None:
    """Delete runs for ever: snapshots, answers and merged files, and the runs that wait for them.

    \b
    Example:
        producer delete webqa/llama3.2_3b_it/avg-5 webqa/llama3.2_3b_it/max-5
    """
    from common.store import StoreFilesystem
    from producer.deleting import delete_run, describe, refuse_at_work

    settings = settings_from(store, broker)
    opened, counters = StoreFilesystem.open(settings.store), glance(settings)
    for line in [describe(opened, name, counters) for name in run_names]:
        print_line(line)
    for name in () if force else run_names:
        refuse_at_work(opened, name, counters)
    if not yes and not _is_confirmed("Delete this for ever?"):
        print_line("nothing is deleted; --yes does not ask")
        sys.exit(EXIT_FAILED)
    for name in run_names:
        delete_run(opened, name, counters, force)
        print_line(f"{name} is deleted")


@click.command()
@click.argument("run_name", metavar="RUN")
@store_option
@click.option("--partial", is_flag=True, help="Merge what there is; the file says so.")
def merge(run_name: str, store: str | None, partial: bool) -> None:
    """Merge a run's parts into its feather file.

    Workers do this by themselves after the last part. A file that is what its parts give is left
    unchanged; scores are kept.

    \b
    Example:
        producer merge webqa/llama3.2_3b_it/flex_attention-5 --partial
    """
    from common.store import merge_run
    from common.store.scores import unscored_rows
    from common.store.verify import holds

    run = open_named(run_name, store)
    manifest = merge_run(run, partial, anew=not holds(run))
    again = f", {manifest.again} of them are being answered again" if manifest.again else ""
    note = f", PARTIAL: {manifest.expected} expected{again}" if manifest.partial else ""
    print_line(f"{run.feather_path}: {manifest.found} samples, {manifest.failed} failed{note}")
    if manifest.mixed_choices:
        print_line(f"answered with mixed choices: {json.dumps(manifest.choices)}")
    if unscored := unscored_rows(run):
        print_line(
            f"{unscored} rows have no scores, as they were answered after the others were scored; "
            f"`producer score {run_name}`"
        )


@click.command()
@click.argument("run_name", metavar="RUN")
@store_option
def verify(run_name: str, store: str | None) -> None:
    """Recompute a merged file's manifest and rows from the parts.

    \b
    Example:
        producer verify webqa/llama3.2_3b_it/flex_attention-5
    """
    from common.store import verify_run

    problems = verify_run(open_named(run_name, store))
    for problem in problems:
        print_line(problem)
    if problems:
        sys.exit(EXIT_FAILED)
    print_line(f"{run_name}: the manifest holds")


def _is_confirmed(question: str) -> bool:
    """Ask a question; nobody who could answer is a no."""
    try:
        return click.confirm(question)
    except click.Abort:
        return False


COMMANDS = (runs, status, cancel, delete, merge, verify)
