"""Live workers: their queues and models just now, as every worker announces in Redis.

    for worker in live_workers(counters):
        print(worker.name, worker.queues, worker.since, worker.models)

The main process of a worker announces itself as soon as it starts, also while its processes still
load a model, then every BEAT_SECONDS, and withdraws when it takes no more work. Celery knows its
workers only by a broadcast that each has to answer, which takes a second and which a worker that
is starting cannot do. Beside it each process notes the model that it loads or holds. Keys:

se:workers              for each worker: when it was last seen, since when, and what it is, as JSON
se:model:<place>:<slot> the model of one process, as JSON

All times are the server's, in seconds since 1970: the clock of a worker may be wrong.
"""

import socket
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from common.run_counters import RunCounters

BEAT_SECONDS = 3.0
SILENT_SECONDS = 12
"""A worker that was not seen for longer is dead, or cannot reach the broker."""

_NOTE_LIFETIME = 14 * 24 * 3600

_ANNOUNCE = """
local now = tonumber(redis.call('TIME')[1])
local since = now
local known = redis.call('HGET', KEYS[1], ARGV[1])
if known then
  local began, same = string.match(known, '^%d+ (%d+) (.*)$')
  if same == ARGV[2] then since = began end
end
redis.call('HSET', KEYS[1], ARGV[1], now .. ' ' .. since .. ' ' .. ARGV[2])
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local seen = tonumber(string.match(all[i + 1], '^%d+'))
  if not seen or now - seen > tonumber(ARGV[3]) then redis.call('HDEL', KEYS[1], all[i]) end
end
"""
"""Writes the worker's own field with the server's time, and deletes those of dead workers."""


class _Noted(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class HeldModel(_Noted):
    """The model of one process. loading: it is not ready yet. since: when that began."""

    model: str
    loading: bool
    since: int


class Announcement(_Noted):
    """Notes of a worker on itself.

    name: Celery's, such as celery@host. place: see `place_of`. processes: how many hold a model.
    store: path or URI of its store. store_id: the store's id (`common.store.identity`); None if
    the store has no id yet, or the worker cannot read the id. device: what it computes on, in
    words.
    """

    name: str
    place: str
    processes: int
    queues: tuple[str, ...]
    version: str
    store: str = ""
    store_id: str | None = None
    device: str = ""


class LiveWorker(Announcement):
    """A worker that was seen in the last SILENT_SECONDS.

    since: when it began to serve these queues. models: one for each process that holds or loads a
    model; a worker that is just starting serves its queues once all are loaded.
    """

    since: int
    models: tuple[HeldModel, ...] = ()

    @property
    def loading(self) -> tuple[HeldModel, ...]:
        """The models that some process is loading."""
        return tuple(note for note in self.models if note.loading)


def place_of(pid: int) -> str:
    """Return the place of a worker: this host, and the id of the worker's main process."""
    return f"{socket.gethostname()}:{pid}"


def announce(counters: RunCounters, worker: Announcement) -> None:
    """Say that a worker lives and what it serves. Raises redis.RedisError."""
    script = counters.client.register_script(_ANNOUNCE)
    script(
        keys=[counters.prefix + "workers"],
        args=[worker.name, worker.model_dump_json(), 10 * SILENT_SECONDS],
    )


def withdraw(counters: RunCounters, name: str) -> None:
    """Say that a worker takes no more work. Raises redis.RedisError."""
    counters.client.hdel(counters.prefix + "workers", name)


def note_model(counters: RunCounters, place: str, slot: int, model: str, loading: bool) -> None:
    """Note the model that a process of a worker loads or holds. Raises redis.RedisError."""
    seconds, _ = counters.client.time()
    note = HeldModel(model=model, loading=loading, since=seconds)
    key = _model_key(counters, place, slot)
    counters.client.set(key, note.model_dump_json(), ex=_NOTE_LIFETIME)


def forget_model(counters: RunCounters, place: str, slot: int) -> None:
    """Note that a process of a worker holds no model. Raises redis.RedisError."""
    counters.client.delete(_model_key(counters, place, slot))


def live_workers(counters: RunCounters) -> list[LiveWorker]:
    """List the workers that live, by name. Raises redis.RedisError."""
    pipe = counters.client.pipeline(transaction=False)
    pipe.time()
    pipe.hgetall(counters.prefix + "workers")
    (now, _), fields = pipe.execute()
    workers = [worker for text in fields.values() if (worker := _read_worker(text, now))]
    workers.sort(key=lambda worker: worker.name)
    return [w.model_copy(update={"models": _models(counters, w)}) for w in workers]


def _read_worker(text: bytes, now: int) -> LiveWorker | None:
    """Read a field of the hash; None for a worker that is dead, and for what is none."""
    try:
        seen, since, document = text.split(b" ", 2)
        if now - int(seen) > SILENT_SECONDS:
            return None
        announcement = Announcement.model_validate_json(document)
        return LiveWorker(**announcement.model_dump(), since=int(since))
    except ValueError:  # a ValidationError is one
        return None


def _models(counters: RunCounters, worker: LiveWorker) -> tuple[HeldModel, ...]:
    keys = [_model_key(counters, worker.place, slot) for slot in range(worker.processes)]
    noted: Sequence[Any] = counters.client.mget(keys) if keys else []
    return tuple(note for text in noted if text and (note := _read_model(text)))


def _read_model(text: bytes) -> HeldModel | None:
    try:
        return HeldModel.model_validate_json(text)
    except ValidationError:
        return None


def _model_key(counters: RunCounters, place: str, slot: int) -> str:
    return f"{counters.prefix}model:{place}:{slot}"
