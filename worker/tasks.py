"""The Celery task that executes a shard, and what each of its errors leads to."""

import logging
from functools import cache
from typing import TYPE_CHECKING, Any, NoReturn

import billiard
import redis
from celery.exceptions import Ignore, Reject
from celery.signals import worker_process_init, worker_process_shutdown
from kombu.exceptions import OperationalError

from common.broker import ANSWER_SHARD, OTHER_QUEUE
from common.errors import (
    AlreadyStopped,
    CancelledRun,
    RejectShard,
    RetryShard,
    ReturnShard,
    StopRun,
    UnusableModel,
    UsageError,
    described,
    first_line,
)
from common.messages import ShardMessage
from common.run_counters import RunCounters
from common.settings import Settings
from common.shard_sender import send_shards
from common.store import StoreFilesystem
from worker.app import app
from worker.denials import folder_denied
from worker.hints import tell_delay
from worker.host import set_variables
from worker.last_resort import never_without_verdict
from worker.main_process.own_faults import GivenBack
from worker.merge_starter import MergeStarter
from worker.refusals import no_worker_left
from worker.shards import open_shard
from worker.sick_device import end_process_if_sick
from worker.stray_exits import as_errors

if TYPE_CHECKING:
    from worker.executor import ShardExecutor

logger = logging.getLogger(__name__)

RETRY_SECONDS = 10
END_SECONDS = 30
"""How long a process that is told to end waits for its merges: a million rows take half as long.
So do idle processes at SIGQUIT, which Celery tells to end as usual; Celery ends busy processes."""


@cache
def executor() -> "ShardExecutor":
    """The executor of this process, made at the first call in the child.

    Raises ReturnShard if it cannot be made.
    """
    slot = getattr(billiard.current_process(), "index", None) or 0
    try:
        # Not above: importing torch sets the variable that names its compile cache, and children
        # would inherit the main process's.
        with as_errors():
            from worker.model.compile_cache import claim_cache

            set_variables(claim_cache(slot))
            from worker.executor import ShardExecutor

            settings = Settings.from_environment()
            store = StoreFilesystem.open(settings.store)
            return ShardExecutor(settings, store, counters(), merges().start, slot)
    except Exception as error:
        logger.exception("this process cannot begin")
        raise ReturnShard(f"a worker process cannot begin: {described(error)}") from error


@cache
def counters() -> RunCounters:
    """The run counters of this process's broker."""
    settings = Settings.from_environment()
    return RunCounters.connect(settings.broker, settings.namespace)


@worker_process_init.connect  # type: ignore[untyped-decorator]
def warm_up(**_: Any) -> None:
    """Load the model that the settings name, before this process reports that it is up.

    The signal is connected in this module because a spawned process imports only tasks.
    """
    executor().warm_up()


@cache
def merges() -> MergeStarter:
    """The merge processes that this process starts."""
    return MergeStarter(Settings.from_environment())


@worker_process_shutdown.connect  # type: ignore[untyped-decorator]
def finish_merges(**_: Any) -> None:
    """Wait for the merges of this process before it ends; a signal cuts it short."""
    merges().wait(END_SECONDS)


@app.task(  # type: ignore[untyped-decorator]
    name=ANSWER_SHARD, bind=True, max_retries=100, throws=(StopRun,),
    Request="worker.main_process.own_faults:CountedRequest",
)  # fmt: skip
@never_without_verdict
def answer_shard(self: Any, runs: Any, rows: Any) -> None:
    """Answer rows of runs that share a prefill. Every name is checked before it is used.

    Raises StopRun, which Celery shows as a failure in one line, for a shard of a stopped run.
    """
    try:
        worker = executor()
        with as_errors():
            shard = open_shard(worker.store, runs, rows, worker.was_deleted)
            halves = worker.execute(shard)
        if halves:
            messages = [ShardMessage.of(runs, half.rows) for half in halves]
            send_shards(self.app, messages, _queue(self))
    except (ReturnShard, MemoryError) as error:
        _give_back(self, runs, error)
    except PermissionError as error:
        _judge_denial(self, runs, error)
    except (RetryShard, OSError, OperationalError, redis.RedisError) as error:
        # An OSError here is the store's or the broker's: errors of loading are a StopRun.
        _try_later(self, runs, error)
    except RejectShard as error:
        logger.error("shard rejected: %s", error)
        raise Reject(str(error), requeue=False) from error
    except CancelledRun as error:
        _drop(self, error)
    except AlreadyStopped:
        raise
    except UnusableModel as error:
        _refuse(self, runs, error)
    except (StopRun, UsageError) as error:
        logger.error("run stopped: %s", error)
        _stop(self, runs, str(error))
    except Exception as error:
        end_process_if_sick(error)
        logger.exception("run stopped by an error that is not foreseen")
        _stop(self, runs, f"a worker failed: {described(error)}; its log has the traceback")


def _try_later(task: Any, runs: Any, error: Exception) -> NoReturn:
    """Have Celery deliver the shard again in a while, or stop its runs after the last try."""
    if task.request.retries >= task.max_retries:
        _stop(task, runs, f"given up after {task.max_retries} tries: {first_line(error)}")
    logger.warning("tried again in %d s: %s", RETRY_SECONDS, error)
    tell_delay(counters(), runs, first_line(error))
    shown = getattr(task.request, "kwargsrepr", None)
    raise task.retry(exc=error, countdown=RETRY_SECONDS, kwargsrepr=shown) from error


def _give_back(task: Any, runs: Any, error: Exception) -> NoReturn:
    """Put the shard at the end of its queue, for other workers: this one is at fault."""
    reason = f"worker {task.request.hostname} gave a shard back: {first_line(error)}"
    tell_delay(counters(), runs, reason)
    raise GivenBack(reason) from error


def _refuse(task: Any, runs: Any, error: UnusableModel) -> NoReturn:
    """Stop the runs if no live worker can use their model; else give the shard back."""
    keys = [str(run) for run in runs]
    logger.error("%s", error)
    reason = no_worker_left(counters(), keys, _queue(task), task.request.hostname, error)
    if reason is None:
        _give_back(task, runs, error)
    _stop(task, runs, reason)


def _queue(task: Any) -> str:
    return str((task.request.delivery_info or {}).get("routing_key", OTHER_QUEUE))


def _judge_denial(task: Any, runs: Any, error: PermissionError) -> NoReturn:
    """Stop the runs if this worker may write to its store elsewhere; else give the shard back."""
    try:
        reason = folder_denied(executor().store, error)
    except UsageError as denied:
        _give_back(task, runs, denied)
    _stop(task, runs, reason)


def _stop(task: Any, runs: Any, reason: str) -> NoReturn:
    """Stop the runs, and have Celery count this shard as failed."""
    for run in runs:
        counters().stop(str(run), reason, task.request.hostname)
    raise StopRun(reason) from None


def _drop(task: Any, error: CancelledRun) -> NoReturn:
    """Acknowledge a shard of a cancelled run; Flower shows it as revoked, since nothing failed."""
    logger.info("%s", error)
    try:
        task.send_event("task-revoked", retry=False, terminated=False, signum=None, expired=False)
    except OperationalError as unreachable:
        logger.warning("Flower cannot be told: %s", unreachable)
    raise Ignore(str(error)) from None
