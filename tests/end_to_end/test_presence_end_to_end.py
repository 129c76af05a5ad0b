"""A real worker is seen from its start, with what it loads, until it is told to end."""

import signal

import pytest

from common.live_workers import live_workers
from common.run_counters import RunCounters
from tests.end_to_end.conftest import DEADLINE, running_worker, until


@pytest.fixture
def counters(settings):
    return RunCounters.connect(settings.broker, settings.namespace)


def test_a_worker_is_seen_while_it_loads_its_model_and_gone_when_it_ends(
    settings, counters, tiny_model, tmp_path
):
    warm = settings.model_copy(update={"warm_model": str(tiny_model), "warm_samples": 1})
    log = tmp_path / "seen.log"

    def models():
        (worker,) = live_workers(counters)
        return [held.loading for held in worker.models]

    with running_worker(warm, log, "-Q", "model.other") as worker:
        until(lambda: live_workers(counters), "the announcement", log)
        (seen,) = live_workers(counters)
        assert (seen.name, seen.queues) == ("seen@test", ("model.other",))
        until(lambda: models() == [True], "the start of loading", log)
        until(lambda: models() == [False], "the end of loading", log)
        assert live_workers(counters)[0].since == seen.since
        worker.process.send_signal(signal.SIGTERM)
        assert worker.process.wait(DEADLINE) == 0
        assert live_workers(counters) == []
