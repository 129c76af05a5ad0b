"""The Redis server: its version, and whether it may lose or refuse what is written to it."""

from collections.abc import Iterator, Mapping
from typing import Any

import redis

from producer.doctor.finding import Finding, fault, ok, warning

OLDEST_VERSION = 6
FULL_SHARE = 0.9
"""Share of its memory limit from which a server counts as full."""

Info = Mapping[str, Any]
"""What the server says of itself (INFO)."""


def check_server(client: redis.Redis, shown: str) -> Iterator[Finding]:
    """Yield what is to be said of the server. shown: its URL without a password."""
    info: Info = client.info()
    yield check_version(info, shown)
    yield check_eviction(info)
    yield check_memory(info)
    yield check_persistence(info, _saves(client))


def check_version(info: Info, shown: str) -> Finding:
    """Whether the server knows the commands that are used."""
    name = "Valkey" if "valkey_version" in info else "Redis"
    version = str(info.get("valkey_version") or info["redis_version"])
    if int(version.partition(".")[0]) < OLDEST_VERSION:
        return fault(
            "redis", f"{shown} is {name} {version}", f"install Redis {OLDEST_VERSION} or later"
        )
    return ok("redis", f"{shown} answers, {name} {version}")


def check_eviction(info: Info) -> Finding:
    """Whether the server deletes messages when its memory is full."""
    policy, limit = str(info.get("maxmemory_policy", "unknown")), int(info.get("maxmemory", 0))
    if policy == "noeviction":
        return ok("redis", "memory policy noeviction")
    remedy = "`CONFIG SET maxmemory-policy noeviction`, and in the server's configuration file"
    if limit:
        return fault("redis", f"memory policy {policy}, which deletes messages", remedy)
    return warning("redis", f"memory policy {policy}, which deletes messages once limited", remedy)


def check_memory(info: Info) -> Finding:
    """Whether the server still takes what is written to it."""
    used, limit = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
    if not limit:
        return ok("redis", f"memory {_mib(used)} used, no limit (maxmemory 0)")
    text = f"memory {_mib(used)} of {_mib(limit)} used"
    if used < FULL_SHARE * limit:
        return ok("redis", text)
    return fault("redis", text, "raise maxmemory; a full server takes no message and no verdict")


def check_persistence(info: Info, saves: str | None) -> Finding:
    """Whether a restart of the server loses the queues.

    saves: when it writes snapshots, as `save` of its configuration; None if it does not tell.
    """
    failed = [n for n in ("aof_last_write_status", "rdb_last_bgsave_status") if _failed(info, n)]
    if failed:
        return fault(
            "redis", f"writing to its disk failed ({', '.join(failed)})",
            "see the server's log; free its disk, or mend the folder's rights",
        )  # fmt: skip
    if info.get("aof_enabled"):
        return ok("redis", "persistence: append-only file")
    remedy = "`CONFIG SET appendonly yes`; else `producer enqueue` again after a restart"
    if saves == "":
        return warning("redis", "no persistence, a restart loses the queues", remedy)
    return warning("redis", "persistence by snapshots at most, a crash loses the newest", remedy)


def _failed(info: Info, name: str) -> bool:
    return bool(info.get(name, "ok") != "ok")


def _saves(client: redis.Redis) -> str | None:
    try:
        return str(client.config_get("save").get("save", ""))
    except redis.ResponseError:
        return None  # A hosted server lets nobody read its configuration.


def _mib(size: int) -> str:
    return f"{size / 2**20:,.0f} MiB"
