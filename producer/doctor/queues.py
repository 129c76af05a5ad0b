"""The queues: how long they are, whether anybody serves them, and the dead letters."""

from collections.abc import Iterator, Mapping, Sequence

import redis

from common.broker import DEAD_LETTERS, all_queues
from common.counted import counted
from common.live_workers import LiveWorker
from producer.doctor.finding import Finding, fault, ok, warning

LONGEST_EXCERPT = 100
"""Characters of a dead letter that are shown."""


def queue_lengths(client: redis.Redis, prefix: str) -> dict[str, int]:
    """Return the number of messages of each queue that has any."""
    pipe = client.pipeline(transaction=False)
    for queue in all_queues():
        pipe.llen(prefix + queue)
    lengths = zip(all_queues(), map(int, pipe.execute()), strict=True)
    return {queue: length for queue, length in lengths if length}


def check_queues(
    lengths: Mapping[str, int], at_work: int, workers: Sequence[LiveWorker]
) -> Iterator[Finding]:
    """Yield the length of each queue, and what to do about one that nobody serves.

    at_work: how many messages workers have taken.
    """
    served = {queue for worker in workers for queue in worker.queues}
    for queue, length in lengths.items():
        text = f"{queue} holds {counted(length, 'message')}"
        if queue in served:
            yield ok("queues", text)
        else:
            command = f"`celery -A worker worker -Q {queue}`"
            yield fault("queues", f"{text}, and no live worker serves it", f"start {command}")
    if not lengths:
        yield ok("queues", "all are empty")
    yield ok("queues", f"at work: {counted(at_work, 'message')}")


def check_dead_letters(client: redis.Redis, prefix: str) -> Iterator[Finding]:
    """Yield how many messages no worker could use, and how the newest begins."""
    key = prefix + DEAD_LETTERS
    count = int(client.llen(key))
    if not count:
        yield ok("queues", "no dead letters")
        return
    newest = client.lindex(key, 0) or b""
    yield warning(
        "queues", f"{counted(count, 'dead letter')}, the newest begins {_excerpt(newest)!r}",
        f"`redis-cli LRANGE {key} 0 -1` shows them, DEL forgets them; `producer enqueue` again "
        "sends their rows",
    )  # fmt: skip


def _excerpt(raw: object) -> str:
    text = raw.decode(errors="replace") if isinstance(raw, bytes) else str(raw)
    return (text.splitlines() or [""])[0][:LONGEST_EXCERPT]
