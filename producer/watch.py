"""Show the progress of one run on the screen until the run is merged."""

import time

from rich.console import Console
from rich.live import Live

from common.store import RunFolder, read_progress
from producer.run_tables import progress_table

REFRESH_SECONDS = 1.0


def watch_run(run: RunFolder, console: Console) -> None:
    """Refresh the run's line in place; return when the run is merged."""
    with Live(console=console) as live:
        while True:
            progress = read_progress(run)
            live.update(progress_table([(run, progress)]), refresh=True)
            if progress.state == "merged":
                return
            time.sleep(REFRESH_SECONDS)
