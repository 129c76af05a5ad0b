"""Deaths of devices: who is to blame, by what devices agree on."""

import os
from types import SimpleNamespace

import pyarrow.feather as feather
import pytest

from common.live_workers import Announcement, announce, place_of
from common.run_counters import RunCounters
from tests.worker.conftest import shard_of
from worker import sick_device
from worker.device_deaths import (
    DEVICE_DEATHS,
    DEVICE_DEATHS_ALONE,
    RUN_DEATHS,
    SHARD_DEATHS_ALONE,
    DeviceDeaths,
    forget_deaths,
)
from worker.engine.engine import Engine
from worker.sick_device import EXIT_STATUS, GAVE_UP_STATUS, end_process_if_sick

SICK = RuntimeError("CUDA error: device-side assert triggered")
RUN = "numbers/tiny-llama/avg-3"


class EndOfProcess(BaseException):
    """What the end of this process is here. No SystemExit: that is caught, as one of a library."""

    def __init__(self, code):
        self.code = code


@pytest.fixture(autouse=True)
def _ends_nothing(monkeypatch):
    def end(status):
        raise EndOfProcess(status)

    monkeypatch.setattr(sick_device, "end_process", end)


@pytest.fixture
def counters(settings):
    return RunCounters.connect(settings.broker, settings.namespace)


@pytest.fixture
def devices(counters):
    """What makes the notes of a process that was just started, on one of two devices."""
    return lambda slot: DeviceDeaths(counters, slot)


@pytest.fixture
def beside_others(counters):
    """Another worker that serves the same queue."""
    other = Announcement(
        name="other@there", place="there:1", processes=1, queues=("model.other",), version="0"
    )
    announce(counters, other)


def shard(number=0):
    return SimpleNamespace(runs=[SimpleNamespace(key=RUN)], name=f"avg-3:{number}-{number + 1}:2")


def die(device, over):
    """Get sick over a shard; returns the status that the process ended with."""
    with pytest.raises(EndOfProcess) as ended, device.watching(over):
        end_process_if_sick(SICK)
    return ended.value.code


def answer(device, over):
    assert device.blame(over) is None
    with device.watching(over):
        pass


@pytest.mark.usefixtures("beside_others")
def test_a_shard_is_to_blame_once_two_devices_agree(devices):
    assert devices(0).blame(shard()) is None
    for _ in range(SHARD_DEATHS_ALONE):
        die(devices(0), shard())
        assert devices(0).blame(shard()) is None
    die(devices(1), shard())
    for slot in (0, 1):
        assert "/0, " in devices(slot).blame(shard())
        assert devices(slot).blame(shard(1)) is None


def test_a_device_that_is_alone_blames_a_shard_after_the_second_death(devices):
    die(devices(0), shard())
    assert devices(0).blame(shard()) is None
    die(devices(0), shard())
    assert devices(0).blame(shard()) is not None


@pytest.mark.usefixtures("beside_others")
def test_a_device_is_to_blame_after_a_few_deaths_that_no_other_confirms(devices):
    statuses = [die(devices(0), shard(number)) for number in range(DEVICE_DEATHS)]
    assert statuses == [EXIT_STATUS] * (DEVICE_DEATHS - 1) + [GAVE_UP_STATUS]


@pytest.mark.usefixtures("beside_others")
def test_a_shard_that_comes_back_while_the_others_are_busy_counts_once(devices):
    for _ in range(2 * DEVICE_DEATHS):
        assert die(devices(0), shard()) == EXIT_STATUS


@pytest.mark.usefixtures("beside_others")
def test_an_answer_in_between_clears_a_device(devices):
    for number in range(2 * DEVICE_DEATHS):
        assert die(devices(0), shard(number)) == EXIT_STATUS
        answer(devices(0), shard(100))


@pytest.mark.usefixtures("beside_others")
def test_the_death_of_another_device_clears_both(devices):
    for number in range(DEVICE_DEATHS - 1):
        die(devices(0), shard(number))
    assert die(devices(1), shard(50)) == EXIT_STATUS
    assert die(devices(0), shard(51)) == EXIT_STATUS


def test_a_device_that_is_alone_is_given_more_time_to_find_the_sample(devices):
    statuses = [die(devices(0), shard(number)) for number in range(DEVICE_DEATHS_ALONE)]
    assert statuses == [EXIT_STATUS] * (DEVICE_DEATHS_ALONE - 1) + [GAVE_UP_STATUS]


def test_a_worker_that_is_started_again_gets_another_chance(devices, counters):
    for number in range(DEVICE_DEATHS_ALONE):
        die(devices(0), shard(number))
    forget_deaths(counters, 1)
    assert die(devices(0), shard(99)) == EXIT_STATUS


@pytest.mark.usefixtures("beside_others")
def test_a_run_stops_once_two_devices_get_sick_of_every_shard(devices, counters):
    for number in range(RUN_DEATHS):
        assert counters.stop_reason(RUN) is None
        for slot in (0, 1):
            die(devices(slot), shard(2 * number + slot))
    assert f"got sick {RUN_DEATHS} times in a row over this run" in counters.stop_reason(RUN)


@pytest.mark.usefixtures("beside_others")
def test_one_answer_of_the_run_forgets_its_deaths(devices, counters):
    for number in range(2 * RUN_DEATHS):
        for slot in (0, 1):
            die(devices(slot), shard(2 * number + slot))
        answer(devices(0), shard(1000 + number))
    assert counters.stop_reason(RUN) is None


@pytest.mark.usefixtures("beside_others")
def test_a_device_stops_no_run_by_itself(devices, counters):
    for number in range(3 * RUN_DEATHS):
        die(devices(0), shard(number))
    assert counters.stop_reason(RUN) is None


def test_a_worker_of_several_processes_is_not_alone(devices, counters):
    here = place_of(os.getppid())
    own = Announcement(
        name="own@here", place=here, processes=2, queues=("model.other",), version="0"
    )
    announce(counters, own)
    for _ in range(SHARD_DEATHS_ALONE):
        die(devices(0), shard())
    assert devices(0).blame(shard()) is None


def test_a_death_counts_as_no_attempt_and_the_sample_is_found(executor, make_runs, monkeypatch):
    run_all = Engine.run

    def sick_of_four(self, samples, *arguments):
        if any("number 4 " in sample.paraphrases[1] for sample in samples):
            raise SICK
        return run_all(self, samples, *arguments)

    monkeypatch.setattr(Engine, "run", sick_of_four)
    run, *_ = runs = make_runs(methods=("avg",)).runs
    queue, deaths = [shard_of(runs, list(range(7)))], 0
    while queue:
        taken = queue.pop(0)
        try:
            queue += executor.execute(taken)
        except EndOfProcess:
            attempts = executor.counters.attempts(str(run.key), taken.name)
            queue, deaths = [*queue, taken], deaths + 1 + attempts
    assert deaths == SHARD_DEATHS_ALONE * 4, "7 rows, then 4, 2 and 1"
    errors = feather.read_table(run.feather_path)["error"].to_pylist()
    assert [index for index, error in enumerate(errors) if error] == [4]
    assert "the device of each worker that answered it failed: " in errors[4]


def test_a_shard_of_which_one_run_is_answered_is_blamed_as_it_is_delivered(
    executor, make_runs, monkeypatch
):
    def sick(*_):
        raise SICK

    runs = make_runs(methods=("avg", "per_prompt")).runs
    executor.execute(shard_of(runs[:1], [0, 1]))
    monkeypatch.setattr(Engine, "run", sick)
    for _ in range(SHARD_DEATHS_ALONE):
        with pytest.raises(EndOfProcess):
            executor.execute(shard_of(runs, [0, 1]))
    name = shard_of(runs, [0, 1]).name
    assert executor.counters.attempts(str(runs[0].key), name) == 0
    assert [half.rows for half in executor.execute(shard_of(runs, [0, 1]))] == [(0,), (1,)]


def test_a_device_that_dies_of_loading_a_model_blames_no_shard_and_no_memory(
    executor, make_runs, monkeypatch
):
    def fails(*_):
        raise SICK

    run, *_ = runs = make_runs(methods=("avg",)).runs
    with monkeypatch.context() as patch:
        patch.setattr(executor.manager, "_load", fails)
        for _ in range(2 * executor.settings.max_attempts):
            with pytest.raises(EndOfProcess):
                executor.execute(shard_of(runs, [0, 1]))
    assert executor.counters.attempts(executor._place, run.spec.model) == 0
    assert executor.execute(shard_of(runs, [0, 1])) == []
    assert executor.counters.stop_reason(str(run.key)) is None
