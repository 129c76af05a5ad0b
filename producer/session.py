"""One request from its runs to their summary, as `enqueue --wait` and `run` carry it out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

from rich.console import Console

from common.messages import ShardMessage
from common.methods import METHODS
from common.planning.reconcile import Reconciler
from common.run_counters import RunCounters
from common.run_state import state_of
from common.settings import Settings
from common.store import RunFolder, StoreFilesystem
from producer.cancelling import resume_run
from producer.cut_off import cut_off_lines
from producer.listeners import Listeners
from producer.prepare import Prepared, prepare
from producer.publish import check_broker, publish, send_again
from producer.request import RunRequest
from producer.run_tables import answers_table, choices_lines, results_table, steps_lines
from producer.waiting import Waiter, merge_unless_merged


@dataclass(frozen=True)
class Session:
    """One request with its prepared runs, on one broker and one store."""

    settings: Settings
    counters: RunCounters
    prepared: Prepared
    shard_size: int
    console: Console

    @classmethod
    def prepare(cls, settings: Settings, request: RunRequest, console: Console) -> "Session":
        """Check that the broker answers, then create the request's runs in the store.

        Raises UsageError for a broker that does not answer and for a request that is refused.
        """
        counters = check_broker(settings)
        prepared = prepare(request, StoreFilesystem.open(settings.store))
        return cls(settings, counters, prepared, request.shard_size, console)

    @property
    def num_samples(self) -> int | None:
        """Number of samples of the largest run; None if every run waits for another."""
        return max((run.spec.num_samples for run in self.prepared.runs), default=None)

    def enqueue(self) -> bool:
        """Send messages for all missing rows; return whether there is anything to wait for.

        If no row is missing, complete runs that nobody has merged are merged.
        """
        for note in self.prepared.notes:
            self._print(note)
        for run in self.prepared.runs:
            resume_run(run)
        self._send(self.prepared.runs, self.prepared.messages)
        for run in self.prepared.runs:
            rows = sum(
                len(m.row_numbers()) for m in self.prepared.messages if str(run.key) in m.runs
            )
            done = run.spec.num_samples - rows
            self._print(f"{run.key}: {rows} rows enqueued, {done} done before")
        for run in self._dependent_runs():
            self.counters.lift_stop(str(run.key))
            self._print(f"{run.key}: waits for another run")
        if not self.prepared.messages:
            for run in self.prepared.runs:
                merge_unless_merged(run)
        return bool(self.prepared.messages or self._dependent_runs())

    def _dependent_runs(self) -> list[RunFolder]:
        """Runs that do not exist yet: each is created when the run it waits for is merged."""
        existing = {run.key for run in self.prepared.runs}
        return [run for run in self.prepared.all_runs if run.key not in existing]

    def print_listeners(self) -> None:
        """Print why nobody works on the runs yet, if nobody does."""
        states = [state_of(run, None) for run in self.prepared.runs]
        if sentence := Listeners(self.counters).sentence(states):
            self._print(sentence)

    def wait(self, check_worker: Callable[[], None] | None = None) -> None:
        """Return when every run is merged. check_worker: raises if the local worker has ended."""
        Waiter(
            self.prepared.all_runs,
            self.counters,
            self.console,
            self._resend,
            check_worker or _nothing,
            Listeners(self.counters, expects_one=check_worker is not None),
            self.prepared.upstream,
        ).wait()

    def print_summary(self) -> None:
        """Print accuracies, first answers, resolved settings, and paths of the merged files."""
        runs = self.prepared.all_runs
        answering = [run for run in runs if run.spec.method in METHODS]
        if answering:
            self.console.print(results_table(answering))
            self.console.print(answers_table(answering))
        for line in [*cut_off_lines(answering), *steps_lines(runs), *choices_lines(runs)]:
            self._print(line)
        for run in runs:
            self._print(run.feather_path)

    def all_runs(self) -> list[RunFolder]:
        """The request's runs, dependent runs included."""
        return list(self.prepared.all_runs)

    def _print(self, text: str) -> None:
        """Print a line verbatim: brackets are not markup, and paths are not wrapped."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _send(self, runs: Sequence[RunFolder], messages: Sequence[ShardMessage]) -> None:
        publish(self.settings, self.counters, self.prepared.model, runs, messages)

    @cached_property
    def _reconciler(self) -> Reconciler:
        return Reconciler(self.counters, partial(send_again, self.settings))

    def _resend(self) -> int:
        """Send what was lost, create dependent runs that are due; return how many rows were."""
        runs = [run for run in (*self.prepared.all_runs, self.prepared.upstream) if run]
        return sum(finding.sent for finding in self._reconciler.look(runs))


def _nothing() -> None:
    """Check no worker: none was started here."""
