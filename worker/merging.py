"""Merging in workers: which errors are tried again, which are a verdict on the run."""

import logging
import time
from collections.abc import Callable

import redis

from common.errors import RetryShard, UsageError, described, first_line
from common.messages import SendShards
from common.planning.finishing import finish_run
from common.run import RunKey
from common.run_counters import RunCounters
from common.store import RunFolder, StoreFilesystem
from worker.denials import folder_denied
from worker.hints import tell_delay

logger = logging.getLogger(__name__)

RETRY_SECONDS = 10.0
MOST_TRIES = 30
"""Five minutes, in which no other run of this store is merged on this host. What is away for
longer is left to whoever looks for complete runs later."""


class Merger:
    """Finishes runs by their keys. pause: waits for a number of seconds between two tries."""

    def __init__(
        self,
        store: StoreFilesystem,
        counters: RunCounters,
        send: SendShards,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._store = store
        self._counters = counters
        self._send = send
        self._pause = pause

    def finish(self, key: str) -> bool:
        """Merge a run and begin its dependents; returns False if that is left to somebody else.

        A run is merged as it is now, with the record that is in its folder now. A verdict on the
        run counts as its end.
        """
        for tries_left in reversed(range(MOST_TRIES)):
            try:
                return self._try(RunFolder(self._store, RunKey.parse(key)))
            except (RetryShard, OSError, redis.RedisError) as error:
                reason = first_line(error)
                logger.warning("merging %s is tried again in %d s: %s", key, RETRY_SECONDS, reason)
                tell_delay(self._counters, [key], reason)
                if tries_left:
                    self._pause(RETRY_SECONDS)
        return False

    def _try(self, run: RunFolder) -> bool:
        if not run.exists():
            logger.warning("run %s is not merged: it was deleted, or the store is away", run.key)
            return False
        try:
            finish_run(run, self._counters, self._send)
        except PermissionError as error:
            return self._judge_denial(run, error)
        except (RetryShard, OSError, redis.RedisError):
            raise
        except Exception as error:
            logger.exception("run stopped by an error that is not foreseen")
            reason = f"merging failed: {described(error)}"
            self._counters.stop(str(run.key), f"{reason}; the worker's log has the traceback")
        return True

    def _judge_denial(self, run: RunFolder, error: PermissionError) -> bool:
        """Stop the run if this process may write elsewhere in its store; else leave it be."""
        try:
            reason = folder_denied(self._store, error)
        except UsageError as denied:
            logger.error("run %s is not merged here: %s", run.key, denied)
            return False
        self._counters.stop(str(run.key), reason)
        return True
