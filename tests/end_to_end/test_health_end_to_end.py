"""A real worker's health files: there while it works, gone after its end, old after a kill."""

import signal

from tests.end_to_end.conftest import DEADLINE, running_worker, until

QUICK = ("-I", "tests.end_to_end.exiting_executor")


def test_a_worker_says_that_it_lives_and_is_ready_until_it_ends(settings, tmp_path):
    folder = tmp_path / "health"
    settings = settings.model_copy(update={"health_dir": str(folder)})
    alive, ready = folder / "alive", folder / "ready"
    with running_worker(settings, tmp_path / "healthy.log", *QUICK) as worker:
        until(alive.exists, "the first sign of life", worker.log)
        until(ready.exists, "readiness", worker.log)
        worker.process.send_signal(signal.SIGTERM)
        assert worker.process.wait(DEADLINE) == 0
    assert list(folder.iterdir()) == []


def test_a_worker_that_waits_for_its_broker_lives_and_is_not_ready(settings, tmp_path):
    folder = tmp_path / "health"
    away = {"health_dir": str(folder), "broker": "redis://127.0.0.1:1/0"}
    settings = settings.model_copy(update=away)
    with running_worker(settings, tmp_path / "waiting.log", *QUICK) as worker:
        until(lambda: "Trying again in" in worker.log.read_text(), "the first try", worker.log)
        assert [path.name for path in folder.iterdir()] == ["alive"]
