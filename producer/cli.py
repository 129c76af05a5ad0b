"""The `producer` command: border code only. Imports what a command needs when it runs."""

import json
import signal
import sys
from typing import TYPE_CHECKING, Any

import click

from common.errors import SelfEnsembleError
from producer.mask.options import mask_options
from producer.options import broker_option, request_options, store_option

if TYPE_CHECKING:
    from pathlib import Path

    from common.config import Settings
    from common.store import Run
    from producer.request import EnqueueRequest

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="self-ensemble")
def cli() -> None:
    """Ask language models the same question in several wordings, and combine the answers.

    \b
    The smallest real run, on this machine alone:
        producer run --dataset webqa_mini --model smollm2_135m_it
    """


@cli.command()
@request_options
@store_option
@broker_option
@click.option("--wait", is_flag=True, help="Stay until the runs are merged, with a progress bar.")
def enqueue(
    store: str | None, broker: str | None, wait: bool, failure_limit: float, **options: Any
) -> None:
    """Put a data set on the queue, in shards; one run for each method.

    Sends only what the store does not hold yet, so it is also how an interrupted run goes on.

    \b
    Example:
        producer enqueue --dataset webqa --data questions.jsonl --few-shot train.jsonl \\
            --model llama3.2_3b_it --method flex_attention --method avg --wait
    """
    from producer.session import Session

    session = Session(_settings(store, broker), _request(options), _console())
    session.enqueue()
    if wait:
        session.wait()
        _exit_past(failure_limit, session.finished_runs())


@cli.command()
@request_options
@store_option
def run(store: str | None, failure_limit: float, **options: Any) -> None:
    """Do a whole job on this machine: server, worker, queue, merge, summary.

    Brings its own Redis-compatible server and worker and leaves no process behind. Ctrl-C
    keeps what is done; the same command goes on from there.

    \b
    Example:
        producer run --dataset webqa_mini --model smollm2_135m_it \\
            --method origin --method flex_attention --num-paraphrases 6
    """
    from producer.local import embedded_broker, local_worker
    from producer.session import Session

    console = _console()
    with embedded_broker() as url:
        settings = _settings(store, url)
        session = Session(settings, _request(options), console)
        if session.enqueue():
            with local_worker(settings) as alive:
                session.wait(alive)
        session.summarise()
        _exit_past(failure_limit, session.finished_runs())


@cli.command()
@store_option
@click.option("--json", "as_json", is_flag=True, help="One JSON document for scripts.")
def runs(store: str | None, as_json: bool) -> None:
    """List every run in the store.

    \b
    Example:
        producer runs --store /data/ensembles
    """
    from common.store import Location, list_runs, read_progress
    from producer.summary import progress_document, progress_table

    location = Location.open(_settings(store).store)
    found = [(run, read_progress(run)) for run in list_runs(location)]
    if as_json:
        click.echo(json.dumps([progress_document(run, progress) for run, progress in found]))
    elif found:
        _console().print(progress_table(found))
    else:
        click.echo(f"no runs in {location.uri}")


@cli.command()
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

    run = _open(run_name, store)
    if watch:
        watch_run(run, _console())
    elif as_json:
        click.echo(json.dumps(progress_document(run, read_progress(run))))
    else:
        _console().print(progress_table([(run, read_progress(run))]))


@cli.command()
@click.argument("run_name", metavar="RUN")
@store_option
@click.option("--partial", is_flag=True, help="Merge what there is; the file says so.")
def merge(run_name: str, store: str | None, partial: bool) -> None:
    """Merge a run's parts into its feather file.

    Workers do this by themselves when the last part lands.

    \b
    Example:
        producer merge webqa/llama3.2_3b_it/flex_attention-5 --partial
    """
    from common.store import merge_run

    run = _open(run_name, store)
    certificate = merge_run(run, partial)
    note = f", PARTIAL: {certificate.expected} expected" if certificate.partial else ""
    click.echo(
        f"{run.feather_path}: {certificate.found} samples, {certificate.failed} failed{note}"
    )
    if certificate.mixed_choices:
        click.echo(f"answered with mixed choices: {json.dumps(certificate.choices)}")


@cli.command()
@click.argument("run_name", metavar="RUN")
@store_option
def verify(run_name: str, store: str | None) -> None:
    """Recompute a merged file's certificate and rows from the parts.

    \b
    Example:
        producer verify webqa/llama3.2_3b_it/flex_attention-5
    """
    from common.store import verify_run

    problems = verify_run(_open(run_name, store))
    for problem in problems:
        click.echo(problem)
    if problems:
        sys.exit(EXIT_FAILED)
    click.echo(f"{run_name}: the certificate holds")


@cli.command()
@mask_options
def mask(png: "Path | None", as_json: bool, **options: Any) -> None:
    """Draw which token of a sample's prompt sees which.

    In the terminal, or as an image with --png; from the very table the engine uses.

    \b
    Example:
        producer mask --layout shared --num-paraphrases 3 --png mask.png
    """
    from producer.mask.command import draw_mask
    from producer.mask.request import MaskRequest

    draw_mask(MaskRequest(**options), png, as_json, _console())


def main() -> None:
    """Entry point: every error of ours is one sentence and a status, never a traceback."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        cli.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except SelfEnsembleError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(EXIT_USAGE)
    except OSError as error:
        # Of the store: denied, full, gone. Its text names the file.
        click.echo(f"error: {(str(error) or type(error).__name__).splitlines()[0]}", err=True)
        sys.exit(EXIT_USAGE)
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped; what is done is kept, the same command goes on from there", err=True)
        sys.exit(EXIT_INTERRUPTED)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _settings(store: str | None = None, broker: str | None = None) -> "Settings":
    from common.config import Settings

    given = {name: value for name, value in (("store", store), ("broker", broker)) if value}
    return Settings.from_environment().model_copy(update=given)


def _request(options: dict[str, Any]) -> "EnqueueRequest":
    from producer.request import EnqueueRequest

    return EnqueueRequest(**options)


def _open(name: str, store: str | None) -> "Run":
    from common.run import RunKey
    from common.store import Location, open_run

    return open_run(Location.open(_settings(store).store), RunKey.parse(name))


def _console() -> Any:
    from rich.console import Console

    return Console()


def _exit_past(limit: float, finished: "list[Run]") -> None:
    """Exit 1 when a run has more failed rows than its limit allows."""
    from common.store import read_progress

    for run in finished:
        progress = read_progress(run)
        if progress.failed > limit * progress.expected:
            click.echo(
                f"{run.key}: {progress.failed} of {progress.expected} rows failed, more than "
                f"--failure-limit {limit:g} allows; the `error` column says why",
                err=True,
            )
            sys.exit(EXIT_FAILED)
