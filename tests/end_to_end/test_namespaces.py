"""Namespaces: teams that share one broker neither see nor stop each other's runs."""

from pathlib import Path

import pytest
import redis

from common.run import RunKey
from common.run_counters import RunCounters
from common.settings import Settings
from common.store import RunFolder, StoreFilesystem
from tests.conftest import numbered_questions, write_questions
from tests.end_to_end.conftest import producer, running_worker, until
from worker.app import create_app

KEY = "numbers/tiny-llama/avg-3"
QUEUE = "model.other"


@pytest.fixture
def teams(settings: Settings, tmp_path: Path) -> list[Settings]:
    """Two teams with a store each."""
    return [
        settings.model_copy(update={"namespace": name, "store": str(tmp_path / name)})
        for name in ("red", "blue-2")
    ]


def counters_of(settings: Settings) -> RunCounters:
    return RunCounters.connect(settings.broker, settings.namespace)


def is_merged(settings: Settings) -> bool:
    run = RunFolder(StoreFilesystem.open(settings.store), RunKey.parse(KEY))
    return run.store.exists(run.feather)


def test_a_worker_of_one_team_leaves_the_runs_of_another_alone(teams, tiny_model, tmp_path):
    red, blue = teams
    client = redis.Redis.from_url(red.broker)
    client.flushdb()
    data = write_questions(tmp_path / "numbers.jsonl", numbered_questions(7))
    for team in teams:
        producer(
            "enqueue", "--dataset", "numbers", "--data", data, "--model", tiny_model,
            "--method", "avg", "--num-paraphrases", 3, "--num-few-shot", 0, "--dtype", "float32",
            "--max-new-tokens", 3, settings=team,
        )  # fmt: skip
    counters_of(red).stop(KEY, "red has stopped it")
    assert counters_of(blue).stop_reason(KEY) is None
    with running_worker(blue, tmp_path / "blue.log") as worker:
        until(lambda: is_merged(blue), "the merge of blue's run", worker.log)
        answers = {team.namespace: create_app(team).control.ping(timeout=5) for team in teams}
        prefixes = {key.partition(b":")[0] for key in client.keys("*")}
    assert not is_merged(red)
    assert counters_of(red).queue_length([QUEUE]) == 1
    assert counters_of(blue).queue_length([QUEUE]) == 0
    assert {name: len(answer) for name, answer in answers.items()} == {"red": 0, "blue-2": 1}
    assert prefixes == {b"red", b"blue-2"}
