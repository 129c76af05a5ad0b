"""Affinity: a worker stays with the queue it last took from, for a quantum of time."""

from types import SimpleNamespace

from worker.main_process.affinity import StickyCycle


def test_the_queue_last_taken_from_stays_first_until_its_quantum_ends(monkeypatch):
    class Cycle(StickyCycle):
        current, since = None, 0.0

    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr("worker.main_process.affinity.time.monotonic", lambda: clock.now)
    cycle = Cycle(["a", "b", "c"])
    cycle.rotate("b")
    assert cycle.consume(1) == ["b"]
    cycle.update(["a", "b", "c", "d"])
    assert cycle.consume(1) == ["b"]
    clock.now += 601
    cycle.rotate("b")
    assert cycle.consume(1) == ["a"]
