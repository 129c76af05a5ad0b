"""Model processes at fault: sick devices, models that do not fit, processes that never come up."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow.feather as feather
import pytest
import redis

from common.live_workers import live_workers
from common.run import RunKey
from common.run_counters import RunCounters
from common.settings import Settings
from common.store import RunFolder, StoreFilesystem, list_parts
from tests.end_to_end.conftest import (
    DEADLINE,
    Worker,
    avg_options,
    producer,
    running_worker,
    until,
)
from worker.sick_device import EXIT_STATUS

KEY = "numbers/tiny-llama/avg-3"
ROWS = 8
FAULTS = ("FAULT_SICK", "FAULT_SICK_DEATHS", "FAULT_NO_MEMORY", "FAULT_DEATHS")


@pytest.fixture
def counters(settings):
    redis.Redis.from_url(settings.broker).flushdb()
    return RunCounters.connect(settings.broker, settings.namespace)


@pytest.fixture
def run(settings, counters, tmp_path, tiny_model):
    """A run whose shards of two rows are on the queue."""
    options = avg_options(tmp_path, tiny_model, ROWS, shard_size=2, max_new_tokens=3)
    producer("enqueue", *options, settings=settings)
    return RunFolder(StoreFilesystem.open(settings.store), RunKey.parse(KEY))


@pytest.fixture
def faulty(settings, tmp_path, monkeypatch):
    """Runs a worker with faults, FAULT_...=value; `device` stands for a GPU of its own."""

    @contextmanager
    def faulty(
        name: str, device: str = "0", settings: Settings = settings, **faults: str
    ) -> Iterator[Worker]:
        for variable in FAULTS:
            monkeypatch.delenv(variable, raising=False)
        for variable, value in {"CUDA_VISIBLE_DEVICES": device, **faults}.items():
            monkeypatch.setenv(variable, value)
        module = "tests.end_to_end.faulty_processes"
        with running_worker(settings, tmp_path / f"{name}.log", "-I", module) as worker:
            yield worker

    return faulty


def errors(run: RunFolder) -> list[str | None]:
    table = feather.read_table(run.feather_path)
    result: list[str | None] = table["error"].to_pylist()
    return result


def is_merged(run: RunFolder) -> bool:
    return bool(run.store.exists(run.feather))


def test_a_sick_device_stops_no_run_beside_one_that_is_well(run, counters, faulty):
    """Every sample is too much for the one device, and none for the other."""
    with faulty("sick", FAULT_SICK=".") as sick:
        until(lambda: "ends: CUDA error" in sick.log.read_text(), "the first death", sick.log)
        with faulty("well", "1") as well:
            until(lambda: is_merged(run), "the merge", well.log)
        assert errors(run) == [None] * ROWS
        assert counters.stop_reason(KEY) is None


def test_a_sample_that_two_devices_get_sick_of_is_one_row(run, counters, faulty):
    with faulty("a", FAULT_SICK="number 5 ") as a, faulty("b", "1", FAULT_SICK="number 5 ") as b:
        until(lambda: is_merged(run), "the merge", a.log)
        assert a.process.poll() is None
        assert b.process.poll() is None
    (error,) = filter(None, errors(run))
    assert errors(run).index(error) == 5
    assert "the device of each worker that answered it failed: " in error
    assert counters.attempts(KEY, "avg-3:5-5:1") == 0


def test_a_sample_that_the_only_device_gets_sick_of_is_one_row(run, faulty):
    with faulty("alone", FAULT_SICK="number 5 ") as alone:
        until(lambda: is_merged(run), "the merge", alone.log)
        assert alone.process.poll() is None
    assert [index for index, error in enumerate(errors(run)) if error] == [5]


def test_a_device_that_is_alone_and_sick_of_everything_ends_its_worker(run, counters, faulty):
    with faulty("alone", FAULT_SICK=".", FAULT_SICK_DEATHS="3") as alone:
        assert alone.process.wait(DEADLINE) == EXIT_STATUS
        output = alone.log.read_text()
    assert "this worker takes no more work and ends with status 70: its device got sick" in output
    assert counters.stop_reason(KEY) is None
    assert list_parts(run) == []
    assert counters.queue_length(["model.other"]) >= ROWS // 2


def test_a_model_that_one_host_cannot_load_is_left_to_another(run, counters, faulty):
    with faulty("large") as large:
        until(lambda: live_workers(counters), "the larger host", large.log)
        with faulty("small", FAULT_NO_MEMORY="1") as small:
            until(lambda: is_merged(run), "the merge", large.log)
            assert "Traceback" not in small.log.read_text()
    assert errors(run) == [None] * ROWS


def test_a_model_that_the_only_host_cannot_load_stops_the_run(run, counters, faulty):
    with faulty("small", FAULT_NO_MEMORY="1") as small:
        until(lambda: counters.stop_reason(KEY), "the stop", small.log)
    assert "does not fit into the free memory" in counters.stop_reason(KEY)


def test_a_process_that_dies_while_it_starts_is_replaced(run, faulty, tmp_path):
    deaths = Path(tmp_path / "deaths")
    deaths.write_bytes(b"xx")
    with faulty("late", FAULT_DEATHS=str(deaths)) as late:
        until(lambda: is_merged(run), "the merge", late.log)
        assert late.log.read_text().count("ended while it started") == 2


def test_processes_that_never_come_up_end_the_worker(run, counters, settings, faulty, tmp_path):
    deaths = Path(tmp_path / "deaths")
    deaths.write_bytes(b"x" * 100)
    once = settings.model_copy(update={"max_attempts": 1})
    with faulty("never", settings=once, FAULT_DEATHS=str(deaths)) as never:
        assert never.process.wait(DEADLINE) == EXIT_STATUS
        assert "ended 3 times in a row while it started" in never.log.read_text()
    assert counters.queue_length(["model.other"]) == ROWS // 2


def test_a_worker_waits_for_a_server_that_is_full(run, settings, faulty):
    client = redis.Redis.from_url(settings.broker)
    try:
        client.config_set("maxmemory", 1)
        with faulty("patient") as patient:
            until(lambda: "Redis is full" in patient.log.read_text(), "the warning", patient.log)
            client.config_set("maxmemory", 0)
            until(lambda: is_merged(run), "the merge", patient.log)
            assert patient.process.poll() is None
    finally:
        client.config_set("maxmemory", 0)
    assert errors(run) == [None] * ROWS
