"""A model whose loading ends the process again and again stops its runs."""

import pytest

from common.errors import StopRun
from common.store import list_parts
from tests.worker.conftest import shard_of
from worker.executor import ShardExecutor


def test_a_model_whose_loading_ends_the_process_each_time_stops_the_run(executor, make_runs):
    """As on a host without memory for it. The shard is not cut down to single rows for that."""
    runs = make_runs().runs
    shard = shard_of(runs, [1, 2, 3])
    for _ in range(executor.settings.max_attempts):
        executor.counters.start_attempt(executor._place, runs[0].spec.model)
        executor.counters.start_attempt(str(runs[0].key), shard.name)
    with pytest.raises(
        StopRun, match=r"was loaded 3 times, and each time the process on \S+ ended"
    ):
        executor.execute(shard)
    assert list_parts(runs[0]) == []


def test_after_that_verdict_the_model_is_tried_again(executor, make_runs):
    runs = make_runs().runs
    for _ in range(executor.settings.max_attempts):
        executor.counters.start_attempt(executor._place, runs[0].spec.model)
    with pytest.raises(StopRun):
        executor.execute(shard_of(runs, [1]))
    assert executor.execute(shard_of(runs, [1])) == []
    assert len(list_parts(runs[0])) == 1


def test_deaths_of_another_worker_on_this_host_are_not_counted(executor, make_runs):
    other = ShardExecutor(
        executor.settings, executor.store, executor.counters, lambda *_: None, slot=1
    )
    runs = make_runs().runs
    for _ in range(executor.settings.max_attempts):
        executor.counters.start_attempt(other._place, runs[0].spec.model)
    assert executor.execute(shard_of(runs, [1])) == []


def test_a_model_that_loads_leaves_no_note(executor, make_runs):
    runs = make_runs().runs
    for row in range(5):
        executor.execute(shard_of(runs, [row]))
    assert executor.counters.attempts(executor._place, runs[0].spec.model) == 0
