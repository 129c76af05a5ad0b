"""Retry a run: withdraw rows that failed, and send what is missing then.

Needs no console, and may be interrupted anywhere: what is withdrawn counts as missing, so
whatever sends missing rows goes on with it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from common.models import find_model
from common.planning.dependents import existing_dependents
from common.planning.sharding import messages_for
from common.settings import Settings
from common.store import RunFolder, read_progress
from common.store.withdrawal import withdraw
from producer.cancelling import resume_run
from producer.publish import check_broker, publish
from producer.staleness import refuse_replaced_model


@dataclass(frozen=True)
class Retried:
    """What a retry did.

    withdrawn: rows that failed and are answered again. sent: rows put on the queue; these, and
    what was missing before. left: rows that failed and stay as they are. dependents: keys of runs
    that were made from the result as it was.
    """

    run: str
    withdrawn: int
    sent: int
    left: int
    dependents: tuple[str, ...]

    def lines(self) -> Iterator[str]:
        """What to tell the user, a sentence each."""
        missing = self.sent - self.withdrawn
        if self.withdrawn:
            yield f"{self.run}: failed rows that are answered again: {self.withdrawn}"
        if missing:
            yield f"{self.run}: other rows that are missing, and sent: {missing}"
        if not self.sent:
            yield f"{self.run}: nothing to retry, {self._what_is_left()}"
        if self.withdrawn and self.dependents:
            yield (
                f"{', '.join(self.dependents)}: made from the result of {self.run} as it was, "
                "and not changed; once that is merged again, enqueue them with --overwrite to "
                "have them made anew"
            )

    def _what_is_left(self) -> str:
        if not self.left:
            return "no row failed"
        return (
            f"as what failed is at fault itself (too long, empty; rows: {self.left}); --all "
            "answers that again, too"
        )


def retry_run(settings: Settings, run: RunFolder, every: bool = False) -> Retried:
    """Have rows answered again that failed by a fault of a worker; every: all that failed.

    Lifts a stop or a cancellation of the run, and sends what else is missing, as enqueueing does.
    The merged file stays as it is until all of it is answered.
    Raises UsageError if the broker does not answer, the run is damaged, or its model's files have
    changed, and OverwrittenRun if it was overwritten since it was opened.
    """
    counters = check_broker(settings)
    model = find_model(run.spec.model, run.spec.revision)
    refuse_replaced_model(model, [run], ())
    withdrawn = withdraw(run, every)
    messages = tuple(messages_for([run]))
    if messages:
        resume_run(run)
        publish(settings, counters, model, [run], messages)
    return Retried(
        run=str(run.key),
        withdrawn=withdrawn,
        sent=sum(len(message.row_numbers()) for message in messages),
        left=read_progress(run).failed,
        dependents=tuple(str(dependent.key) for dependent in existing_dependents(run)),
    )
