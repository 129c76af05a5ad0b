"""The commands runs, status, merge and verify, on runs in the store."""

import json
import sys

import click

from producer.commands.shared import EXIT_FAILED, console, open_named, print_line, settings_from
from producer.options import store_option


@click.command()
@store_option
@click.option("--json", "as_json", is_flag=True, help="One JSON document for scripts.")
def runs(store: str | None, as_json: bool) -> None:
    """List every run in the store, and the runs that wait for another run.

    \b
    Example:
        producer runs --store /data/ensembles
    """
    from common.store import StoreFilesystem
    from producer.listing import list_every_run
    from producer.run_tables import progress_document, progress_table

    opened = StoreFilesystem.open(settings_from(store).store)
    listed = list_every_run(opened)
    if as_json:
        documents = [progress_document(run, progress) for run, progress in listed.runs]
        print_line(json.dumps(documents + listed.other_documents()))
        return
    if listed.runs:
        console().print(progress_table(listed.runs))
    for line in listed.other_lines():
        print_line(line)
    if listed.is_empty:
        print_line(f"no runs in {opened.uri}")


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
    from producer.run_tables import progress_document, progress_table
    from producer.watch import watch_run

    run = open_named(run_name, store)
    if watch:
        watch_run(run, console())
    elif as_json:
        print_line(json.dumps(progress_document(run, read_progress(run))))
    else:
        console().print(progress_table([(run, read_progress(run))]))


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


COMMANDS = (runs, status, merge, verify)
