"""The `producer` command: the group of commands, and errors as one sentence and a status."""

import signal
import sys

import click

from common.errors import SelfEnsembleError
from producer.commands import (
    enqueue,
    inspection,
    manage,
    pictures,
    reconciliation,
    results,
    retry,
)
from producer.commands.shared import EXIT_INTERRUPTED, EXIT_USAGE, never_fail_to_print, print_line


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="self-ensemble")
def cli() -> None:
    """Ask language models the same question in several paraphrases, and combine the answers.

    \b
    The smallest real run, on this machine alone:
        producer run --dataset webqa_mini --model smollm2_135m_it
    """


_ROOMS = (enqueue, manage, retry, reconciliation, inspection, results, pictures)
for _command in (command for room in _ROOMS for command in room.COMMANDS):
    cli.add_command(_command)


def main() -> None:
    """Run the command; report each expected error as one sentence and an exit status."""
    never_fail_to_print()
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        cli.main(standalone_mode=False)
    except click.ClickException as error:
        error.show(sys.stderr)
        sys.exit(error.exit_code)
    except SelfEnsembleError as error:
        print_line(f"error: {error}", err=True)
        sys.exit(EXIT_USAGE)
    except OSError as error:
        # The store is denied, full or gone. The error's text names the file.
        print_line(f"error: {(str(error) or type(error).__name__).splitlines()[0]}", err=True)
        sys.exit(EXIT_USAGE)
    except (click.Abort, KeyboardInterrupt):
        print_line("stopped; what is done is kept, the same command goes on from there", err=True)
        sys.exit(EXIT_INTERRUPTED)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt
