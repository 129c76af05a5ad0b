"""Device deaths: what is to blame where a device gets sick, a sample, a run or the device.

Each death is noted in Redis before its process ends. Two devices that get sick of one shard put
the blame on it, and it is cut in two until a sample is alone. Two that get sick of every shard of
a run stop the run. A device that alone gets sick of whatever it gets is at fault itself, and its
worker ends. With no other worker to agree, one device puts the blame on a shard, never on a run.

Notes are hints: without Redis a death counts for nothing.
"""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from common.broker import queue_of_run
from common.live_workers import live_workers, place_of
from common.run_counters import RunCounters
from worker.hints import hint
from worker.shards import Shard
from worker.sick_device import EXIT_STATUS, GAVE_UP_STATUS, witnessed

AGREEING = 2
"""Devices that have to get sick of the same."""

SHARD_DEATHS_ALONE = 2
"""Deaths over one shard before it is cut in two, if no other worker serves its queue."""

RUN_DEATHS = 5
"""Deaths of each of two devices, with no row of the run answered in between, that stop a run. A
shard with two such samples causes three on the way to its quarters."""

DEVICE_DEATHS, DEVICE_DEATHS_ALONE = 3, 10
"""Deaths of a device over different shards, with nothing answered in between, after which its
worker ends."""

NOT_KNOWN = "deaths of devices are not known"
_LIFETIME = 14 * 24 * 3600


def device_place(slot: int) -> str:
    """Return what tells this process's device from others, also after a restart of its worker."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "all")
    return f"{socket.gethostname()}/{visible}/{slot}"


class DeviceDeaths:
    """Notes and judges the deaths of the device of one process. slot: its number in its worker.

    se:sick:<run>   for each shard and device, its deaths; with no shard, those since a row of
                    the run was answered
    se:sick-devices for each device, its deaths since it answered something
    """

    def __init__(self, counters: RunCounters, slot: int) -> None:
        self._counters = counters
        self._device = device_place(slot)
        self._loading: tuple[str, str] | None = None
        self._run_had_deaths = False
        self._has_answered = False

    def blame(self, shard: Shard) -> str | None:
        """Return why a shard is to blame for the deaths of devices, or None."""
        run = str(shard.runs[0].key)
        return hint(lambda: self._blame(run, shard.name), None, NOT_KNOWN)

    @contextmanager
    def watching(self, shard: Shard) -> Iterator[None]:
        """Note a death in the block as one over the shard, and its end as an answer."""
        with witnessed(lambda: self._died(shard)):
            yield
        hint(lambda: self._answered(str(shard.runs[0].key)), None, NOT_KNOWN)

    @contextmanager
    def loading(self, place: str, model: str) -> Iterator[None]:
        """Note a death in the block as one over no sample, and no death of loading the model.

        place: name of this process among those that load models.
        """
        self._loading = place, model
        try:
            with witnessed(lambda: self._died(None), unless_watched=True):
                yield
        finally:
            self._loading = None

    def _blame(self, run: str, shard: str) -> str | None:
        noted = self._noted(run)
        self._run_had_deaths = bool(noted.get(""))
        deaths = noted.get(shard, {})
        alone = len(deaths) == 1 and max(deaths.values()) >= SHARD_DEATHS_ALONE
        if len(deaths) < AGREEING and not (alone and self._is_alone(run)):
            return None
        return f"the device of each worker that answered it failed: {', '.join(sorted(deaths))}"

    def _answered(self, run: str) -> None:
        """Forget the deaths in a row: of the run, if it had any, and of this device."""
        client = self._counters.client
        if self._run_had_deaths:
            in_a_row = self._noted(run).get("", {})
            client.hdel(self._run_key(run), *(f"|{device}" for device in in_a_row))
        if not self._has_answered:
            client.hdel(self._devices_key, self._device)
        self._has_answered = True

    def _died(self, shard: Shard | None) -> int:
        """Note a death; returns the status that the process ends with."""
        if self._loading:
            self._counters.finish_attempt(*self._loading)
        if shard is None:
            return EXIT_STATUS
        runs = [str(run.key) for run in shard.runs]
        self._counters.finish_attempt(runs[0], shard.name)
        in_a_row, deaths = self._note(runs[0], "" if self._loading else shard.name)
        agreeing = [device for device, n in in_a_row.items() if n >= RUN_DEATHS]
        if len(agreeing) >= AGREEING:
            for run in runs:
                self._counters.stop(run, _stop_reason(agreeing))
        if others := in_a_row.keys() - {self._device}:
            self._counters.client.hdel(self._devices_key, self._device, *others)
            return EXIT_STATUS
        most = DEVICE_DEATHS_ALONE if self._is_alone(runs[0]) else DEVICE_DEATHS
        return GAVE_UP_STATUS if deaths >= most else EXIT_STATUS

    def _note(self, run: str, shard: str) -> tuple[dict[str, int], int]:
        """Note a death; returns deaths in a row: over the run by device, and of this device."""
        client, key = self._counters.client, self._run_key(run)
        client.hincrby(key, f"|{self._device}", 1)
        again = bool(shard) and int(client.hincrby(key, f"{shard}|{self._device}", 1)) > 1
        # One shard may come back many times while the others are busy.
        deaths = int(client.hincrby(self._devices_key, self._device, 0 if again else 1))
        for noted in (key, self._devices_key):
            client.expire(noted, _LIFETIME)
        return self._noted(run).get("", {}), deaths

    def _noted(self, run: str) -> dict[str, dict[str, int]]:
        """The deaths over a run, by shard (or "" for those in a row) and device."""
        fields: dict[Any, Any] = self._counters.client.hgetall(self._run_key(run))
        noted: dict[str, dict[str, int]] = {}
        for field, number in fields.items():
            shard, _, device = field.decode().partition("|")
            noted.setdefault(shard, {})[device] = int(number)
        return noted

    def _is_alone(self, run: str) -> bool:
        """Whether no other process serves the run's queue."""
        queue = queue_of_run(run)
        here = place_of(os.getppid())
        serving = [w for w in live_workers(self._counters) if queue in w.queues]
        return all(w.place == here and w.processes == 1 for w in serving)

    def _run_key(self, run: str) -> str:
        return f"{self._counters.prefix}sick:{run}"

    @property
    def _devices_key(self) -> str:
        return self._counters.prefix + "sick-devices"


def forget_deaths(counters: RunCounters, processes: int) -> None:
    """Give the devices of a worker that starts another chance. Raises redis.RedisError."""
    places = [device_place(slot) for slot in range(processes)]
    counters.client.hdel(counters.prefix + "sick-devices", *places)


def _stop_reason(devices: list[str]) -> str:
    return (
        f"the devices of {len(devices)} workers got sick {RUN_DEATHS} times in a row over this "
        f"run, with nothing of it answered in between: {', '.join(sorted(devices))}; their logs "
        "have the errors. Try another SELF_ENSEMBLE_ATTENTION, or --dtype"
    )
