"""A file of a run is damaged while workers answer it: the run stops, and the reason names it."""

from contextlib import suppress

import pytest

from common.errors import StopRun
from worker import tasks

DAMAGES = {
    "empty": lambda content: b"",
    "half": lambda content: content[: len(content) // 2],
    "no frame": lambda content: content.replace(b"\x28\xb5\x2f\xfd", b"\0\0\0\0"),
    "offsets": lambda content: content[: len(content) // 2] + b"\xff" * 8 + content[-200:],
}


@pytest.fixture
def answer_rows(executor, monkeypatch):
    """Run the task here for rows of a run, as a worker would with this process."""
    monkeypatch.setattr(tasks, "executor", lambda: executor)
    monkeypatch.setattr(tasks, "counters", lambda: executor.counters)

    def answer(run, first, end):
        tasks.answer_shard.push_request(retries=0, called_directly=False, id="an id")
        try:
            with suppress(StopRun):
                tasks.answer_shard.run([str(run.key)], [[first, end]])
        finally:
            tasks.answer_shard.pop_request()
        return executor.counters.stop_reason(str(run.key))

    return answer


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["run.json", "input.arrow", "the pin"])
def test_the_run_stops_and_the_reason_names_the_file(answer_rows, make_runs, name, damage):
    (run,) = make_runs(methods=("origin",), num_paraphrases=1).runs
    assert answer_rows(run, 0, 3) is None
    path = run.pin_path if name == "the pin" else run.file(name)
    whole = run.store.read_bytes(path)
    damaged = DAMAGES[damage](whole)
    run.store.write_bytes(path, damaged)
    reason = answer_rows(run, 3, 7)
    assert reason is None if damaged == whole else path in reason
    assert run.store.exists(run.feather) is (damaged == whole)
