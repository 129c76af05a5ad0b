"""What every command needs: settings, runs by name, the screen, exit statuses.

Imports what it needs when it is needed, so that help comes at once.
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


def settings_of(store: str | None = None, broker: str | None = None) -> "Settings":
    from common.settings import Settings

    given = {name: value for name, value in (("store", store), ("broker", broker)) if value}
    return Settings.from_environment().model_copy(update=given)


def open_named(name: str, store: str | None) -> "RunFolder":
    from common.run import RunKey
    from common.store import StoreFilesystem, open_run

    return open_run(StoreFilesystem.open(settings_of(store).store), RunKey.parse(name))


def never_fail_to_print() -> None:
    """Have a character that the output cannot encode printed as `?`; else it would end a run."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")


def say(text: str, err: bool = False) -> None:
    """Print a line as it is.

    To the stream itself: where its encoding is ASCII, click alone would write UTF-8.
    """
    click.echo(text, file=sys.stderr if err else sys.stdout)


def console() -> Any:
    from rich.console import Console

    return Console()


def exit_past(limit: float, finished: "list[RunFolder]") -> None:
    """Exit 1 when a run has more failed rows than its limit allows."""
    from common.store import read_progress

    for run in finished:
        progress = read_progress(run)
        if progress.failed > limit * progress.expected:
            say(
                f"{run.key}: {progress.failed} of {progress.expected} rows failed, more than "
                f"--failure-limit {limit:g} allows; the `error` column says why",
                err=True,
            )
            sys.exit(EXIT_FAILED)
