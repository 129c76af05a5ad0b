"""A worker and the weights that a run is pinned to: what it is told before it computes."""

import pytest

from common.errors import StopRun
from common.store import RunFolder, StoreFilesystem, list_parts
from tests.worker.conftest import shard_of
from worker.engine.engine import Engine


@pytest.fixture(autouse=True)
def _nothing_is_computed(monkeypatch):
    monkeypatch.setattr(Engine, "run", lambda *_: pytest.fail("it computed"))


def test_the_loser_of_a_race_is_told_before_it_computes(executor, make_runs, monkeypatch):
    """The winner comes between the loser's look at the run, not pinned yet, and its own step."""
    runs = make_runs().runs
    create = StoreFilesystem.create

    def a_moment_late(store, path, content):
        monkeypatch.setattr(StoreFilesystem, "create", create)
        RunFolder(store, runs[0].key).pin_model("sha256:somebody else's")
        return create(store, path, content)

    monkeypatch.setattr(StoreFilesystem, "create", a_moment_late)
    with pytest.raises(StopRun, match="begun with the weights sha256:somebody else's"):
        executor.execute(shard_of(runs, [0, 1]))
    assert runs[0].pinned_model() == "sha256:somebody else's"
    assert list_parts(runs[0]) == []


def test_a_worker_whose_tokenizer_makes_other_tokens_is_told_before_it_computes(
    executor, make_runs, monkeypatch
):
    runs = make_runs().runs
    loaded = executor.manager.engine_for(runs[0].spec)
    runs[0].pin_model(loaded.identity, loaded.files.stamp, prompts="made by another release")
    with pytest.raises(StopRun, match="tokens made by anot, this worker makes"):
        executor.execute(shard_of(runs, [0, 1]))
    assert list_parts(runs[0]) == []


def test_a_damaged_pin_stops_the_run_and_names_the_file(executor, make_runs):
    runs = make_runs().runs
    runs[0].store.write_bytes(runs[0].pin_path, b'{"identity"')
    with pytest.raises(StopRun, match=r"model-\w+\.json does not tell the weights"):
        executor.execute(shard_of(runs, [0, 1]))
