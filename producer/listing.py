"""Every run of a store: how far each is, which ones wait for it, which ones are damaged."""

from dataclasses import dataclass
from typing import Any

from common.errors import UsageError
from common.planning.dependents import pending_dependents
from common.store import Progress, RunFolder, StoreFilesystem, read_progress
from common.store.run_listing import list_runs_with_files


@dataclass(frozen=True)
class ListedRuns:
    """The runs of a store. One that is damaged hides none of the others.

    waiting: key of a run that is not created yet -> key of the run that it waits for.
    damaged: key of a run -> the error that names its damaged file.
    """

    runs: list[tuple[RunFolder, Progress]]
    waiting: dict[str, str]
    damaged: dict[str, UsageError]

    @property
    def is_empty(self) -> bool:
        return not (self.runs or self.waiting or self.damaged)

    def other_documents(self) -> list[dict[str, Any]]:
        """The runs without progress as JSON-able data."""
        waiting = [{"run": k, "state": "waiting", "after": on} for k, on in self.waiting.items()]
        damaged = [
            {"run": key, "state": "damaged", "error": str(error)}
            for key, error in self.damaged.items()
        ]
        return waiting + damaged

    def other_lines(self) -> list[str]:
        """The runs without progress, a line for each."""
        waiting = [f"{key} waits for {on}" for key, on in self.waiting.items()]
        return waiting + [f"{key} is damaged: {error}" for key, error in self.damaged.items()]


def list_every_run(store: StoreFilesystem) -> ListedRuns:
    """Read the progress of every run of a store, and what waits for them."""
    listed = ListedRuns([], {}, {})
    folders = list(list_runs_with_files(store))
    created = {str(run.key) for run, _ in folders}
    for run, files in folders:
        try:
            progress, waiting = read_progress(run, files), pending_dependents(run, created)
        except UsageError as error:
            listed.damaged[str(run.key)] = error
        except FileNotFoundError:
            if run.exists() and not run.is_overwritten():
                raise  # Else the run was deleted or overwritten while it was read.
        else:
            listed.runs.append((run, progress))
            listed.waiting.update(waiting)
    return listed
