"""A Redis in memory for `RunCounters`, which forgets everything or is away if a test says so."""

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import redis


class ForgetfulRedis:
    """The commands that RunCounters uses. away: whether every call raises ConnectionError.

    queued: counts the messages of the queue.
    """

    def __init__(self, queued: Callable[[], int]) -> None:
        self.away = False
        self.queued = queued
        self._values: dict[str, Any] = {}

    def forget(self) -> None:
        self._values.clear()

    def pipeline(self, transaction: bool = True) -> "Pipeline":
        return Pipeline(self)

    def get(self, key: str) -> bytes | None:
        self._answer()
        return self._values.get(key)

    def set(self, key: str, value: str | int, ex: int | None = None, nx: bool = False) -> bool:
        """Set a key. With nx, one of an earlier moment has expired."""
        self._answer()
        self._values[key] = str(value).encode()
        return True

    def llen(self, key: str) -> int:
        self._answer()
        return self.queued()

    def hvals(self, key: str) -> list[bytes]:
        """What workers hold is out of sight: rows are sent twice then, which must do no harm."""
        self._answer()
        return []

    def delete(self, *keys: str) -> int:
        self._answer()
        return sum(self._values.pop(key, None) is not None for key in keys)

    def expire(self, key: str, seconds: int) -> bool:
        self._answer()
        return key in self._values

    def setbit(self, key: str, bit: int, value: int) -> None:
        self._answer()
        assert value == 1
        self._values.setdefault(key, set()).add(bit)

    def getbit(self, key: str, bit: int) -> int:
        self._answer()
        return int(bit in self._values.get(key, ()))

    def bitcount(self, key: str) -> int:
        self._answer()
        return len(self._values.get(key, ()))

    def hincrby(self, key: str, field: str, by: int) -> int:
        self._answer()
        fields = self._values.setdefault(key, defaultdict(int))
        fields[field] += by
        return int(fields[field])

    def hget(self, key: str, field: str) -> bytes | None:
        self._answer()
        value = self._values.get(key, {}).get(field)
        return None if value is None else str(value).encode()

    def hset(self, key: str, field: str, value: str) -> None:
        self._answer()
        self._values.setdefault(key, defaultdict(int))[field] = value

    def hgetall(self, key: str) -> dict[bytes, bytes]:
        self._answer()
        fields = self._values.get(key, {}).items()
        return {name.encode(): str(value).encode() for name, value in fields}

    def time(self) -> tuple[int, int]:
        self._answer()
        return 1_800_000_000, 0

    def mget(self, keys: list[str]) -> list[bytes | None]:
        return [self.get(key) for key in keys]

    def hdel(self, key: str, *fields: str) -> None:
        self._answer()
        for field in fields:
            self._values.get(key, {}).pop(field, None)

    def exists(self, *keys: str) -> int:
        self._answer()
        return sum(key in self._values for key in keys)

    def _answer(self) -> None:
        if self.away:
            raise redis.ConnectionError("away")


class Pipeline:
    """Calls that are made together."""

    def __init__(self, server: ForgetfulRedis) -> None:
        self._server = server
        self._calls: list[Callable[[], Any]] = []

    def __getattr__(self, command: str) -> Callable[..., None]:
        call = getattr(self._server, command)
        return lambda *arguments, **named: self._calls.append(lambda: call(*arguments, **named))

    def execute(self) -> list[Any]:
        return [call() for call in self._calls]
