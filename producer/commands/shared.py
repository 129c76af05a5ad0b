"""Settings, runs by name, output and exit statuses, as all commands use them.

The functions import what they need when they are called, so that --help is quick.
"""

import io
import sys
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from common.settings import Settings
    from common.store import RunFolder

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


def settings_from(store: str | None = None, broker: str | None = None) -> "Settings":
    """Settings of the environment, with --store and --broker in their place where given."""
    from common.settings import Settings

    options = {name: value for name, value in (("store", store), ("broker", broker)) if value}
    return Settings.from_environment().model_copy(update=options)


def open_named(name: str, store: str | None) -> "RunFolder":
    """Open the run of that key; raises UsageError if the store does not have it."""
    from common.run import RunKey
    from common.store import StoreFilesystem, open_run

    return open_run(StoreFilesystem.open(settings_from(store).store), RunKey.parse(name))


def never_fail_to_print() -> None:
    """Print a character that the output cannot encode as `?` instead of ending the run."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")


def print_line(text: str, err: bool = False) -> None:
    """Print a line verbatim, in the encoding of the stream.

    The stream is passed to click, because click alone writes UTF-8 to an ASCII stream.
    """
    click.echo(text, file=sys.stderr if err else sys.stdout)


def console() -> Any:
    """A rich console on stdout."""
    from rich.console import Console

    return Console()


def exit_past(limit: float, runs: "list[RunFolder]") -> None:
    """Exit with status 1 if more than a share `limit` of a run's rows failed."""
    from common.store import read_progress

    for run in runs:
        progress = read_progress(run)
        if progress.failed > limit * progress.expected:
            print_line(
                f"{run.key}: {progress.failed} of {progress.expected} rows failed, more than "
                f"--failure-limit {limit:g} allows; the `error` column says why, and `producer "
                f"retry {run.key}` answers those again that a worker's fault made fail",
                err=True,
            )
            sys.exit(EXIT_FAILED)
