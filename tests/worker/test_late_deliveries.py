"""A shard that is delivered again after its run was merged, and scored: nothing is written."""

import os

from producer.scoring.score import score_run
from tests.worker.conftest import shard_of

SHARDS = ([0, 1, 2], [3], [4, 5, 6])


def test_ten_late_deliveries_leave_the_scored_files_as_they_are(executor, make_runs):
    runs = make_runs().runs
    for rows in SHARDS:
        executor.execute(shard_of(runs, rows))
    for run in runs:
        score_run(run)
    before = [files_of(run) for run in runs]
    for time in range(10):
        assert executor.execute(shard_of(runs, SHARDS[time % 3])) == []
    assert [files_of(run) for run in runs] == before
    for run in runs:
        scored = run.read_result(["predict_lemma", "answer_lemmas", "correct_exact"])
        assert scored["correct_exact"].null_count == 0


def files_of(run):
    """Bytes and time of the merged file and of every file of the run."""
    store = run.store
    paths = [run.feather, *store.list(str(run.key), recursive=True)]
    return {p: (store.read_bytes(p), os.stat(store.path(p)).st_mtime_ns) for p in paths}
