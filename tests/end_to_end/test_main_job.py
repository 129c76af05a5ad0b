"""The main job on the real model: enqueue, a real worker, one feather file per method."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.feather as feather
import pytest

from common.run import RunKey
from common.schema import META_MANIFEST, META_RUN
from common.settings import Settings
from common.store import RunFolder, StoreFilesystem, list_parts
from producer.datasets import open_dataset
from tests.conftest import assert_rows_alike
from tests.end_to_end.conftest import producer, running_worker

pytestmark = pytest.mark.model

METHODS = ("origin", "per_prompt", "avg", "max", "flex_attention")
SAMPLES = 11


@dataclass
class MainJob:
    """The store and broker of a finished job, its worker still running."""

    settings: Settings

    def run(self, name: str) -> RunFolder:
        store = StoreFilesystem.open(self.settings.store)
        return RunFolder(store, RunKey("webqa_mini", "smollm2_135m_it", name))

    def table(self, name: str) -> pa.Table:
        return feather.read_table(self.run(name).feather_path)

    def enqueue(self, *more: object, check: bool = True) -> str:
        methods = [part for method in METHODS for part in ("--method", method)]
        return producer(
            "enqueue", "--dataset", "webqa_mini", "--model", "smollm2_135m_it", *methods,
            "--num-paraphrases", 3, "--max-samples", SAMPLES, "--shard-size", 4,
            "--max-new-tokens", 8, "--dtype", "float32", "--wait", *more,
            settings=self.settings, check=check,
        )  # fmt: skip


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory, broker_url: str) -> Iterator[MainJob]:
    folder = tmp_path_factory.mktemp("main_job")
    settings = Settings(store=str(folder / "store"), broker=broker_url, device="cpu")
    with running_worker(settings, folder / "main_job.log"):
        main_job = MainJob(settings)
        main_job.enqueue()
        yield main_job


def names() -> list[str]:
    return ["origin", *(f"{method}-3" for method in METHODS[1:])]


def test_every_method_has_every_row_in_the_order_of_the_data_set(job: MainJob):
    samples = list(islice(open_dataset("webqa_mini", None).samples(), SAMPLES))
    for name in names():
        uuids = [s.uuid for s in samples for _ in range(3 if name == "per_prompt-3" else 1)]
        assert job.table(name)["uuid"].to_pylist() == uuids
        assert job.table(name)["error"].null_count == len(uuids)


def test_the_columns_notebooks_read_are_there(job: MainJob):
    expected = ["uuid", "paraphrases", "answers", "prediction", "generation"]
    added = ["reasoning", "tokens", "token_logprobs", "logprob", "finish_reason"]
    errors = ["error", "error_kind"]
    assert job.table("origin").column_names == [*expected, *added, *errors]
    assert job.table("avg-3").column_names == [*expected, *added, "singles", *errors]
    per_prompt = job.table("per_prompt-3")
    assert per_prompt.column_names == [
        *expected[:3],
        "paraphrase",
        "prompt",
        *expected[3:],
        *added,
        *errors,
    ]
    row = per_prompt.slice(4, 1).to_pylist()[0]
    assert row["paraphrase"] == row["paraphrases"][1]
    assert row["prompt"].endswith(f"\n\nQ: {row['paraphrase']}\nA:")


def test_the_first_paraphrases_answer_is_the_origins(job: MainJob):
    first = job.table("per_prompt-3")["generation"].to_pylist()[::3]
    assert first == job.table("origin")["generation"].to_pylist()


def test_the_real_model_answers_real_questions(job: MainJob):
    predictions = job.table("flex_attention-3")["prediction"].to_pylist()
    assert predictions[0] == "Paris"
    assert all(reason == "stop:\\n" for reason in job.table("avg-3")["finish_reason"].to_pylist())


def test_the_file_carries_its_run_and_its_manifest(job: MainJob):
    metadata = job.table("max-3").schema.metadata
    record, manifest = (json.loads(metadata[key]) for key in (META_RUN, META_MANIFEST))
    assert record["fingerprint"] == job.run("max-3").spec.fingerprint
    assert record["spec"]["few_shot"][0][0].endswith("?")
    assert (manifest["expected"], manifest["found"], manifest["failed"]) == (11, 11, 0)
    assert manifest["model_identities"][0].startswith("sha256:")
    chosen = {"device", "dtype", "attention", "layers"}
    assert set(manifest["choices"][0]) == chosen | {"samples"}


def test_all_methods_came_from_one_prefill(job: MainJob):
    from common.store.parts import read_info

    infos = {n: read_info(job.run(n), list_parts(job.run(n))[0]) for n in names()}
    assert len({json.dumps(info.counts) for info in infos.values()}) == 1
    assert len({info.rows for info in infos.values()}) == 1


def test_enqueueing_again_sends_nothing(job: MainJob):
    assert "11 rows enqueued" not in (output := job.enqueue())
    assert output.count("0 rows enqueued, 11 done before") == 5


def test_a_deleted_part_is_the_only_one_done_again(job: MainJob):
    run, before = job.run("avg-3"), job.table("avg-3")
    written = {path: Path(run.store.path(path)).stat().st_mtime_ns for path in list_parts(run)}
    deleted = list_parts(run)[1]
    run.store.delete(deleted)
    assert "avg-3: 4 rows enqueued, 7 done before" in job.enqueue()
    again = job.table("avg-3")
    # Done alone, without the run whose answers are the singles: those rows have none.
    assert_rows_alike(again.drop_columns(["singles"]), before.drop_columns(["singles"]))
    now = {path: Path(run.store.path(path)).stat().st_mtime_ns for path in list_parts(run)}
    assert {path for path in now if now[path] != written[path]} == {deleted}


def test_verify_holds_and_status_says_merged(job: MainJob):
    name = str(job.run("flex_attention-3").key)
    assert "the manifest holds" in producer("verify", name, settings=job.settings)
    document = json.loads(producer("status", name, "--json", settings=job.settings))
    assert (document["state"], document["ok"], document["missing"]) == ("merged", 11, 0)
    assert producer("runs", settings=job.settings).count("merged") == 5


def test_another_fingerprint_is_refused_by_field_and_nothing_is_lost(job: MainJob):
    output = job.enqueue("--max-new-tokens", 9, check=False)
    assert "max_new_tokens is '8' there and '9' here" in output
    assert "--overwrite" in output
    assert "Traceback" not in output
    assert len(job.table("origin")) == 11
