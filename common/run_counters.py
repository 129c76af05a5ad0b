"""Run counters: hints and flags in Redis. Cheap to read, safe to lose; the store decides.

Every key begins with the namespace of the settings, here `se`:

se:done:<run>       bitmap, one bit for each row that some part holds
se:stop:<run>       since when, why and on which worker no shard of the run can succeed, as JSON;
                    until it is enqueued again
se:cancel:<run>     set while the run is cancelled; the store has it, too
se:answered:<run>   for each shard at work, how many of its samples are answered
se:delay:<run>      why a shard of the run waits to be tried again; expires after a minute
se:refused:<run>    for each worker (its place) that cannot use the run's model: why
se:sick:<run>       deaths of devices over its shards (`worker.device_deaths`)
se:store:<run>      id of the store that the run is in
se:attempts:<run>   for each shard, how often it was started and not finished. With the name of a
                    worker process in place of a run: for each model, how often loading began
"""

import socket
from collections.abc import Iterable, Sequence
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from common.broker import key_prefix
from common.broker_url import parse_broker_url
from common.run_activity import RunActivity, Stop

_LIFETIME = 14 * 24 * 3600
_DELAY_LIFETIME = 60
_RUN_KINDS = ("done", "stop", "cancel", "answered", "attempts", "refused", "sick")
_GLANCE: dict[str, Any] = {
    "socket_timeout": 2, "socket_connect_timeout": 1, "retry": Retry(NoBackoff(), 0),
}  # fmt: skip


class RunCounters:
    """The flags and counters of runs on one Redis server."""

    def __init__(self, client: redis.Redis, namespace: str) -> None:
        self._redis = client
        self._prefix = key_prefix(namespace)

    @classmethod
    def connect(cls, url: str, namespace: str) -> "RunCounters":
        """Make a client; it connects at the first call. Raises UsageError for an invalid URL."""
        server = parse_broker_url(url).for_redis
        client = redis.Redis.from_url(server, socket_timeout=30, socket_connect_timeout=5)
        return cls(client, namespace)

    @property
    def client(self) -> redis.Redis:
        """The client, for what other modules keep under the same prefix."""
        return self._redis

    @property
    def prefix(self) -> str:
        """What every key begins with."""
        return self._prefix

    @classmethod
    def connect_for_a_glance(cls, url: str, namespace: str) -> "RunCounters":
        """Make a client that gives up after about a second, for who can do without an answer."""
        server = parse_broker_url(url).for_redis
        return cls(redis.Redis.from_url(server, **_GLANCE), namespace)

    def reset(self, run: str, done: Iterable[int]) -> None:
        """Set the done rows to `done`, and forget a stop, a cancellation and all attempts."""
        pipe = self._redis.pipeline(transaction=False)
        pipe.delete(*(self._key(kind, run) for kind in _RUN_KINDS))
        for row in done:
            pipe.setbit(self._key("done", run), row, 1)
        pipe.expire(self._key("done", run), _LIFETIME)
        pipe.execute()

    def mark_done(self, run: str, rows: Sequence[int]) -> int:
        """Mark `rows` as done, and return how many rows of the run are."""
        pipe = self._redis.pipeline()
        for row in rows:
            pipe.setbit(self._key("done", run), row, 1)
        pipe.bitcount(self._key("done", run))
        pipe.expire(self._key("done", run), _LIFETIME)
        return int(pipe.execute()[-2])

    def knows_done(self, run: str) -> bool:
        """Whether any row of the run was ever noted as done: if not, the store has to be asked."""
        return bool(self._redis.exists(self._key("done", run)))

    def any_done(self, run: str, rows: Sequence[int]) -> bool:
        """Return whether one of these rows is marked as done."""
        pipe = self._redis.pipeline(transaction=False)
        for row in rows:
            pipe.getbit(self._key("done", run), row)
        return any(pipe.execute())

    def stop(self, run: str, reason: str, worker: str | None = None) -> None:
        """Note why a run is stopped. worker: name of the one that found it, else of the host."""
        worker = worker or socket.gethostname()
        seconds, microseconds = self._redis.time()
        stop = Stop(reason=reason, since=seconds + microseconds / 1e6, worker=worker)
        self._redis.set(self._key("stop", run), stop.to_json(), ex=_LIFETIME)

    def stop_reason(self, run: str) -> str | None:
        """Return why the run is stopped, or None."""
        text = self._redis.get(self._key("stop", run))
        return Stop.of_json(text).reason if isinstance(text, bytes) else None

    def lift_stop(self, run: str) -> None:
        """Forget why a run that is not created yet is not to be: sending shards resets others."""
        self._redis.delete(self._key("stop", run), self._key("cancel", run))

    def cancel(self, run: str) -> None:
        self._redis.set(self._key("cancel", run), 1, ex=_LIFETIME)

    def all_cancelled(self, runs: Sequence[str]) -> bool:
        """Whether each of the runs is cancelled, as far as the server knows; the store decides."""
        return self._redis.exists(*(self._key("cancel", run) for run in runs)) == len(runs)

    def forget(self, run: str) -> None:
        """Forget all about a deleted run but its store, by which its messages are told."""
        self._redis.delete(*(self._key(kind, run) for kind in (*_RUN_KINDS, "delay")))

    def note_answered(self, runs: Iterable[str], shard: str, samples: int) -> None:
        """Note how many samples of a shard at work are answered, for each of its runs."""
        pipe = self._redis.pipeline(transaction=False)
        for run in runs:
            pipe.hset(self._key("answered", run), shard, samples)
            pipe.expire(self._key("answered", run), _LIFETIME)
        pipe.execute()

    def end_answering(self, runs: Iterable[str], shard: str) -> None:
        """Note that a shard is no longer at work: its samples are in a part, or lost."""
        pipe = self._redis.pipeline(transaction=False)
        for run in runs:
            pipe.hdel(self._key("answered", run), shard)
        pipe.execute()

    def activity(self, runs: Sequence[str]) -> list[RunActivity]:
        """Return what workers report of each run, in one round trip."""
        pipe = self._redis.pipeline(transaction=False)
        for run in runs:
            pipe.get(self._key("stop", run))
            pipe.get(self._key("delay", run))
            pipe.hgetall(self._key("answered", run))
        answers = iter(pipe.execute() if runs else [])
        return [_activity(stop, next(answers), next(answers)) for stop in answers]

    def refuse(self, run: str, place: str, reason: str) -> None:
        """Note that the worker at a place cannot use the run's model."""
        pipe = self._redis.pipeline()
        pipe.hset(self._key("refused", run), place, reason)
        pipe.expire(self._key("refused", run), _LIFETIME)
        pipe.execute()

    def refusals(self, run: str) -> dict[str, str]:
        """Return why workers cannot use the run's model, by their places."""
        noted: dict[Any, Any] = self._redis.hgetall(self._key("refused", run))
        return {place.decode(): reason.decode() for place, reason in noted.items()}

    def note_store(self, run: str, store_id: str) -> None:
        """Note which store the run is in, so that another one is not taken for it."""
        self._redis.set(self._key("store", run), store_id, ex=_LIFETIME)

    def store_of(self, run: str) -> str | None:
        """Return the id of the run's store, or None if nobody noted it."""
        noted = self._redis.get(self._key("store", run))
        return noted.decode() if isinstance(noted, bytes) else None

    def delay(self, run: str, reason: str) -> None:
        self._redis.set(self._key("delay", run), reason, ex=_DELAY_LIFETIME)

    def delayed(self, run: str) -> str | None:
        """Return why a shard of the run waits to be tried again, or None."""
        reason = self._redis.get(self._key("delay", run))
        return reason.decode() if isinstance(reason, bytes) else None

    def start_attempt(self, run: str, shard: str) -> int:
        """Count a start of a shard, and return how many starts are not finished."""
        pipe = self._redis.pipeline()
        pipe.hincrby(self._key("attempts", run), shard, 1)
        pipe.expire(self._key("attempts", run), _LIFETIME)
        return int(pipe.execute()[0])

    def attempts(self, run: str, shard: str) -> int:
        """Return how many starts of a shard are not finished."""
        count = self._redis.hget(self._key("attempts", run), shard)
        return int(count) if isinstance(count, bytes) else 0

    def finish_attempt(self, run: str, shard: str) -> None:
        self._redis.hdel(self._key("attempts", run), shard)

    def queue_length(self, queues: Sequence[str]) -> int:
        """Count the messages of these queues, and the delivered messages of all queues."""
        pipe = self._redis.pipeline(transaction=False)
        for queue in queues:
            pipe.llen(self._prefix + queue)
        pipe.hlen(self._prefix + "unacked")
        return sum(int(n) for n in pipe.execute())

    def _key(self, kind: str, run: str) -> str:
        return f"{self._prefix}{kind}:{run}"


def _activity(
    stop: bytes | None, delay: bytes | None, answered: dict[bytes, bytes]
) -> RunActivity:
    samples = {shard.decode(): int(count) for shard, count in answered.items() if count.isdigit()}
    return RunActivity(
        None if stop is None else Stop.of_json(stop),
        None if delay is None else delay.decode(errors="replace"),
        samples,
    )
