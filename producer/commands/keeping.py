"""Commands on runs that are there: list, watch, merge, verify."""

import json
import sys

import click

from producer.commands.border import EXIT_FAILED, console, open_named, say, settings_of
from producer.options import store_option


@click.command()
@store_option
@click.option("--json", "as_json", is_flag=True, help="One JSON document for scripts.")
def runs(store: str | None, as_json: bool) -> None:
    """List every run in the store, and those that will follow by themselves.

    \b
    Example:
        producer runs --store /data/ensembles
    """
    from common.store import StoreFilesystem
    from producer.listing import list_every_run
    from producer.summary import progress_document, progress_table

    opened = StoreFilesystem.open(settings_of(store).store)
    listed = list_every_run(opened)
    if as_json:
        documents = [progress_document(run, progress) for run, progress in listed.runs]
        say(json.dumps(documents + listed.other_documents()))
        return
    if listed.runs:
        console().print(progress_table(listed.runs))
    for line in listed.other_lines():
        say(line)
    if listed.is_empty:
        say(f"no runs in {opened.uri}")


@click.command()
@click.argument("run_name", metavar="RUN")
@store_option
@click.option("--watch", is_flag=True, help="Keep it on the screen until the run is merged.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document for scripts.")
def status(run_name: str, store: str | None, watch: bool, as_json: bool) -> None:
    """Show how far one run is.

    \b
    Example:
        producer status webqa/llama3.2_3b_it/flex_attention-5 --watch
    """
    from common.store import read_progress
    from producer.summary import progress_document, progress_table
    from producer.watch import watch_run

    run = open_named(run_name, store)
    if watch:
        watch_run(run, console())
    elif as_json:
        say(json.dumps(progress_document(run, read_progress(run))))
    else:
        console().print(progress_table([(run, read_progress(run))]))


@click.command()
@click.argument("run_name", metavar="RUN")
@store_option
@click.option("--partial", is_flag=True, help="Merge what there is; the file says so.")
def merge(run_name: str, store: str | None, partial: bool) -> None:
    """Merge a run's parts into its feather file.

    Workers do this by themselves when the last part lands. A file that is what its parts give is
    left as it is; scores are kept.

    \b
    Example:
        producer merge webqa/llama3.2_3b_it/flex_attention-5 --partial
    """
    from common.store import merge_run
    from common.store.scores import unscored_rows
    from common.store.verify import holds

    run = open_named(run_name, store)
    manifest = merge_run(run, partial, anew=not holds(run))
    note = f", PARTIAL: {manifest.expected} expected" if manifest.partial else ""
    say(f"{run.feather_path}: {manifest.found} samples, {manifest.failed} failed{note}")
    if manifest.mixed_choices:
        say(f"answered with mixed choices: {json.dumps(manifest.choices)}")
    if unscored := unscored_rows(run):
        say(
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
        say(problem)
    if problems:
        sys.exit(EXIT_FAILED)
    say(f"{run_name}: the manifest holds")


COMMANDS = (runs, status, merge, verify)
