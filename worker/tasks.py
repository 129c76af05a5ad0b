"""The task: read a shard, answer it, write its parts; and what to do when that fails."""

import logging
from functools import cache
from typing import TYPE_CHECKING, Any

import billiard
from celery.exceptions import Reject
from celery.signals import worker_process_init
from kombu.exceptions import OperationalError

from common.broker import ANSWER_SHARD, queue_of
from common.config import Settings
from common.errors import RejectShard, RetryShard, StopRun
from common.ledger import Ledger
from common.messages import ShardMessage
from common.models import ModelSource
from worker.app import app
from worker.shard import open_shard

if TYPE_CHECKING:
    from worker.process import Process

logger = logging.getLogger(__name__)

RETRY_SECONDS = 10


@cache
def process() -> "Process":
    """This process's store, ledger and model; made in the child."""
    # Not above: torch names its compile cache when it is imported, and the main process, whose
    # environment children get, has no use for it.
    from worker.compile_cache import use_own_cache

    settings = Settings.from_environment()
    slot = getattr(billiard.current_process(), "index", None) or 0
    use_own_cache(slot)
    from worker.process import Process

    return Process(settings, Ledger.connect(settings.broker), send, slot)


@worker_process_init.connect  # type: ignore[untyped-decorator]
def warm_up(**_: Any) -> None:
    """Before this process says that it is up. Here, as a spawned one imports only tasks."""
    process().warm_up()


def send(message: ShardMessage, model: ModelSource) -> None:
    """Put a shard of a run that follows another on its model's queue."""
    try:
        answer_shard.apply_async(kwargs=message.model_dump(), queue=queue_of(model))
    except OperationalError as error:
        # The shard that sends it is not done then: it comes again, finds its part, and sends.
        raise RetryShard(f"the broker does not take what follows: {error}") from error


@app.task(name=ANSWER_SHARD, bind=True, max_retries=100)  # type: ignore[untyped-decorator]
def answer_shard(self: Any, runs: Any, rows: Any) -> None:
    """Answer the given rows of runs that share a prefill; names are checked before use."""
    try:
        shard = open_shard(process().location, runs, rows)
        for part in process().do(shard):
            self.apply_async(
                kwargs=ShardMessage.of(runs, part.rows).model_dump(),
                queue=self.request.delivery_info["routing_key"],
            )
    except (RetryShard, OSError) as error:
        raise self.retry(exc=error, countdown=RETRY_SECONDS) from error
    except RejectShard as error:
        logger.error("shard rejected: %s", error)
        raise Reject(str(error), requeue=False) from error
    except StopRun as error:
        logger.error("run stopped: %s", error)
        for run in runs:
            process().ledger.halt(run, str(error))
