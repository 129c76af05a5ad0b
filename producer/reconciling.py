"""`producer reconcile`: looks through a store for lost rows, and says what it did."""

import time
from collections.abc import Callable, Iterator
from functools import partial

import redis

from common.errors import first_line
from common.planning.reconcile import Reconciler, RunFinding
from common.planning.reconcile_store import reconcile_store
from common.planning.suspicions import CONFIRM_SECONDS
from common.settings import Settings
from common.store import StoreFilesystem
from producer.publish import check_broker, send_again

_MOST_LOOKS = 8


class StoreReconciler:
    """Looks at every run of the settings' store, on their broker.

    Raises UsageError if the broker does not answer.
    """

    def __init__(self, settings: Settings, wait: Callable[[float], object] = time.sleep) -> None:
        self._settings = settings
        self._wait = wait
        self._store = StoreFilesystem.open(settings.store)
        self._reconciler = Reconciler(check_broker(settings), partial(send_again, settings))

    def lines(self) -> Iterator[str]:
        """Put right what is lost; yield a line for each run that is not merged, then a summary."""
        mended: dict[str, RunFinding] = {}
        for _ in range(_MOST_LOOKS):
            findings = {str(finding.run.key): finding for finding in self._look()}
            mended |= {key: finding for key, finding in findings.items() if finding.did}
            if not any(finding.seems_lost for finding in findings.values()):
                break
            self._wait(CONFIRM_SECONDS)
        for key, finding in (findings | mended).items():
            if not finding.settled:
                yield f"{key} {finding.text}"
        settled = sum(finding.settled for finding in findings.values())
        yield f"{settled} of {len(findings)} runs in {self._store.uri} are merged"

    def changes(self, every: float) -> Iterator[str]:
        """Look every so many seconds, for ever; yield a line whenever it says something new."""
        printed: dict[str, str] = {}
        while True:
            try:
                texts = {str(v.run.key): v.text for v in self._look() if not v.settled}
            except (redis.RedisError, OSError) as error:
                texts = {self._store.uri: f"could not be looked through: {first_line(error)}"}
            for key, text in texts.items():
                if printed.get(key) != text:
                    yield f"{key} {text}"
            printed = texts
            self._wait(every)

    def _look(self) -> list[RunFinding]:
        return reconcile_store(self._store, self._settings.namespace, self._reconciler)
