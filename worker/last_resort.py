"""The last resort: a shard whose errors cannot be judged goes back to its queue.

Whatever a task raises that Celery does not take for a verdict, it takes for a failure, and the
message is gone: nobody hears of it, and its rows stay missing. So happens when a run is to be
stopped, or a shard sent again, just while Redis is away or full.
"""

import logging
from collections.abc import Callable
from functools import wraps
from typing import Any

import redis
from celery.exceptions import Reject, TaskPredicate
from kombu.exceptions import OperationalError

from common.errors import StopRun, first_line
from worker.main_process.own_faults import GivenBack, PutBack
from worker.stray_exits import as_errors

logger = logging.getLogger(__name__)

TaskFunction = Callable[[Any, Any, Any], None]


def never_without_verdict(answer: TaskFunction) -> TaskFunction:
    """Decorate the task: what it raises is a verdict, or its shard goes back to the queue.

    A StopRun that leaves the task is a verdict: the task has noted it before.
    """

    @wraps(answer)
    def guarded(task: Any, runs: Any, rows: Any) -> None:
        try:
            with as_errors():
                answer(task, runs, rows)
        except Reject as verdict:
            if isinstance(verdict.reason, Exception):  # of `retry`, which could not send it
                raise _put_back(verdict.reason) from verdict
            raise
        except (TaskPredicate, StopRun):
            raise
        except (redis.RedisError, OperationalError) as error:
            raise _put_back(error) from error
        except Exception as error:
            logger.exception("a shard goes back to its queue: its error could not be judged")
            raise GivenBack(f"no verdict: {first_line(error)}") from error

    return guarded


def _put_back(error: Exception) -> PutBack:
    reason = f"the broker does not take what became of a shard: {first_line(error)}"
    logger.warning("a shard goes back to its queue: %s", reason)
    return PutBack(reason)
