"""benchmarks.queue: a whole run through real processes, of which nothing is left."""

import tempfile

import psutil

from benchmarks import queue


def test_a_run_is_enqueued_worked_on_and_merged_and_nothing_is_left(
    document, tmp_path, monkeypatch
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = set(psutil.Process().children(recursive=True))
    report = document(queue.main, "--rows", 205, "--tasks", 12, "--shard-size", 10)
    rows = {row["step"]: row for row in report["rows"]}
    assert list(rows) == ["enqueue", "Redis", "worker", "the worker's task process", "merge"]
    assert (rows["enqueue"]["rows"], rows["merge"]["rows"]) == (205, 205)
    assert rows["worker"]["rows"] == 11 * 10
    assert rows["worker"]["tasks/s"] > 0
    assert rows["Redis"]["bytes/sample"] > 0
    assert all(row["peak MiB"] > 1 for row in report["rows"])
    assert list(tmp_path.iterdir()) == []
    assert set(psutil.Process().children(recursive=True)) <= before


def test_too_few_rows_are_refused_in_a_sentence(run):
    result = run(queue.main, "--rows", 9)
    assert result.exit_code == 2
    assert "9 is not in the range 10<=x<=10000000" in result.stderr.splitlines()[-1]
