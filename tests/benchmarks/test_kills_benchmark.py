"""benchmarks.kills: a rehearsal with real workers, and a soak that would notice a second start."""

from uuid import uuid4

from benchmarks.kills.__main__ import main
from benchmarks.kills.soak import starts_of_a_shard, stop_and_continue
from benchmarks.kills.worker_pair import worker_pair
from common.settings import Settings


def test_a_killed_workers_shard_is_taken_up_within_the_timeout_and_a_sweep(document):
    (row,) = document(main, "--kills", 1, "--timeout", 4, "--no-soak")["rows"]
    assert row["shards"] == 1
    assert 1 < row["median s"] == row["worst s"] < 30


def test_a_soak_notices_a_shard_that_is_given_away(tmp_path, broker_url):
    """The worker is stopped for longer than its lease holds."""
    settings = Settings(
        broker=broker_url, visibility_timeout=3, namespace=f"soak-{uuid4().hex[:8]}"
    )
    with worker_pair(settings, tmp_path) as pair:
        assert starts_of_a_shard(pair, 0, 10.0, stop_and_continue(8.0)) == 2
