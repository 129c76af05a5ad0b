"""A worker whose task holds its shard until it is let go: no model, no torch.

    celery -A benchmarks.kills.held_task worker

All else is the product's worker: its application, leases, envelopes and way to begin. The task
notes each start in Redis. Keys, after the namespace:

kills:starts            a list of `ShardStart`, as JSON
kills:let-go:<shard>    something on this list ends the task of that shard
"""

import os
import time
from typing import Any

import redis
from pydantic import BaseModel, ConfigDict

from common.broker import ANSWER_SHARD, key_prefix
from common.broker_url import parse_broker_url
from common.settings import Settings
from worker.app import app

LONGEST_HOLD_SECONDS = 1500


class ShardStart(BaseModel):
    """A start of a shard. worker: process id of the worker's main process. at: seconds, epoch."""

    model_config = ConfigDict(frozen=True)

    shard: int
    worker: int
    at: float


def starts_key(namespace: str) -> str:
    return f"{key_prefix(namespace)}kills:starts"


def let_go_key(namespace: str, shard: int) -> str:
    return f"{key_prefix(namespace)}kills:let-go:{shard}"


def connect(settings: Settings) -> redis.Redis:
    """A client that may wait for as long as a shard is held."""
    return redis.Redis.from_url(parse_broker_url(settings.broker).for_redis, socket_timeout=None)


@app.task(  # type: ignore[untyped-decorator]
    name=ANSWER_SHARD, Request="worker.main_process.own_faults:CountedRequest"
)
def hold_shard(runs: Any, rows: Any) -> None:
    """Note the start, then wait, without using the processor, until the shard is let go."""
    settings, shard = Settings.from_environment(), rows[0][0]
    start = ShardStart(shard=shard, worker=os.getppid(), at=time.time())
    client = connect(settings)
    client.rpush(starts_key(settings.namespace), start.model_dump_json())
    client.blpop([let_go_key(settings.namespace, shard)], timeout=LONGEST_HOLD_SECONDS)


# In place of the module with the real task, which has every process import torch.
app.conf.include = ()
app.conf.imports = ("benchmarks.kills.held_task",)
