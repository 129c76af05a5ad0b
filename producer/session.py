"""A session: what `enqueue --wait` and `run` do with one request, step by step."""

from collections.abc import Callable, Sequence

from rich.console import Console

from common.messages import ShardMessage
from common.methods import METHODS
from common.planning.dependents import create_dependents
from common.planning.sharding import messages_for
from common.run_counters import RunCounters
from common.settings import Settings
from common.store import RunFolder, StoreFilesystem
from producer.prepare import Prepared, prepare
from producer.publish import check_broker, publish
from producer.request import RunRequest
from producer.run_tables import answers_table, choices_lines, results_table, steps_lines
from producer.waiting import Waiter, finish


class Session:
    """One request on one broker and one store."""

    def __init__(self, settings: Settings, request: RunRequest, console: Console) -> None:
        self._settings = settings
        self._console = console
        self._shard_size = request.shard_size
        self._counters: RunCounters = check_broker(settings)
        self._prepared: Prepared = prepare(request, StoreFilesystem.open(settings.store))

    @property
    def num_samples(self) -> int | None:
        """Of the largest run; None where all runs follow others."""
        return max((run.spec.num_samples for run in self._prepared.runs), default=None)

    def enqueue(self) -> bool:
        """Send what is missing; returns whether there was anything to send."""
        for note in self._prepared.notes:
            self._say(note)
        self._send(self._prepared.runs, self._prepared.messages)
        for run in self._prepared.runs:
            rows = sum(
                len(m.row_numbers()) for m in self._prepared.messages if str(run.key) in m.runs
            )
            done = run.spec.num_samples - rows
            self._say(f"{run.key}: {rows} rows enqueued, {done} done before")
        for run in self._later():
            self._say(f"{run.key}: waits for another run")
        if not self._prepared.messages:
            for run in self._prepared.runs:
                finish(run)
        return bool(self._prepared.messages or self._later())

    def _later(self) -> list[RunFolder]:
        """Runs that are made when another is merged."""
        made = {run.key for run in self._prepared.runs}
        return [run for run in self._prepared.all_runs if run.key not in made]

    def wait(self, alive: Callable[[], None] = lambda: None) -> None:
        """Stay until every run is merged."""
        runs = self._prepared.all_runs
        Waiter(runs, self._counters, self._console, self._resend, alive).wait()

    def summarise(self) -> None:
        """Print where the results are and what they look like."""
        runs = self._prepared.all_runs
        answering = [run for run in runs if run.spec.method in METHODS]
        if answering:
            self._console.print(results_table(answering))
            self._console.print(answers_table(answering))
        for line in [*steps_lines(runs), *choices_lines(runs)]:
            self._say(line)
        for run in runs:
            self._say(run.feather_path)

    def finished_runs(self) -> list[RunFolder]:
        return list(self._prepared.all_runs)

    def _say(self, text: str) -> None:
        """A line as it is: brackets are not markup, and paths are not wrapped."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _send(self, runs: Sequence[RunFolder], messages: Sequence[ShardMessage]) -> None:
        publish(self._settings, self._counters, self._prepared.model, runs, messages)

    def _resend(self) -> None:
        """Send what is missing of the runs there are, those that should have followed, too."""
        for run in (*self._prepared.all_runs, self._prepared.upstream):
            if run is not None and run.exists():
                create_dependents(run)
        runs = [run for run in self._prepared.all_runs if run.exists()]
        self._send(runs, tuple(messages_for(runs, self._shard_size)))
