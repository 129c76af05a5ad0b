"""Run counters: hints and flags in Redis. Cheap to read, safe to lose; the store decides.

Every key begins with the namespace of the settings, here `se`:

se:done:<run>       bitmap, one bit for each row that some part holds
se:stop:<run>       why no shard of the run can succeed, until it is enqueued again
se:delay:<run>      why a shard of the run waits to be tried again; expires after a minute
se:refused:<run>    for each worker (its place) that cannot use the run's model: why
se:sick:<run>       deaths of devices over its shards (`worker.device_deaths`)
se:store:<run>      id of the store that the run is in
se:attempts:<run>   for each shard, how often it was started and not finished. With the name of a
                    worker process in place of a run: for each model, how often loading began
"""

from collections.abc import Iterable, Sequence
from typing import Any

import redis

from common.broker import key_prefix
from common.broker_url import parse_broker_url

_LIFETIME = 14 * 24 * 3600
_DELAY_LIFETIME = 60


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

    def reset(self, run: str, done: Iterable[int]) -> None:
        """Set the done rows to `done`, and forget a stop and all attempts."""
        pipe = self._redis.pipeline(transaction=False)
        forgotten = ("done", "stop", "attempts", "refused", "sick")
        pipe.delete(*(self._key(kind, run) for kind in forgotten))
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

    def stop(self, run: str, reason: str) -> None:
        self._redis.set(self._key("stop", run), reason, ex=_LIFETIME)

    def stop_reason(self, run: str) -> str | None:
        """Return why the run is stopped, or None."""
        reason = self._redis.get(self._key("stop", run))
        return reason.decode() if isinstance(reason, bytes) else None

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
