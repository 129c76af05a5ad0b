"""A run with rows that were killed, retried while a real worker is there."""

import pyarrow.feather as feather
import pytest

from common.run import RunKey
from common.store import RunFolder, StoreFilesystem, read_progress, verify_run
from common.store.manifest import read_manifest
from tests.common.storekit import put_part
from tests.end_to_end.conftest import avg_options, producer, running_worker, until


@pytest.fixture
def options(tmp_path, tiny_model):
    return avg_options(tmp_path, tiny_model, 12, shard_size=4, max_new_tokens=5)


def test_a_retry_has_a_worker_answer_what_was_killed_and_merge_the_run_again(
    settings, options, tmp_path
):
    run = RunFolder(StoreFilesystem.open(settings.store), RunKey("numbers", "tiny-llama", "avg-3"))
    producer("enqueue", *options, settings=settings)
    put_part(run, range(4), failed=[1, 2], by_sample=[3], model_identity=None)
    producer("enqueue", *options, settings=settings)
    with running_worker(settings, tmp_path / "worker.log") as worker:
        until(lambda: read_progress(run).state == "merged", "the merge", worker.log)
        assert read_progress(run).failed == 3
        said = producer("retry", run.key, settings=settings)
        assert said == f"{run.key}: failed rows that are answered again: 2\n"
        until(lambda: read_progress(run).failed == 1, "the answers", worker.log)
        until(lambda: read_progress(run).state == "merged", "the second merge", worker.log)
    errors = feather.read_table(run.feather_path)["error"].to_pylist()
    assert [row for row, error in enumerate(errors) if error is not None] == [3]
    assert (read_manifest(run).tries, verify_run(run)) == ({"2": 2}, [])
