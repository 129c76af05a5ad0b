"""Building blocks for tests that need a store: samples, runs, parts, file systems.

Also used by tests/producer. Everything here goes through the product's own functions. The fixture
is for conftest.py files to import.
"""

import io
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from pyarrow import fs

from common.prompts import QUESTION_ANSWERING
from common.records import ErrorKind, ResultRow, Sample
from common.run import RunKey, RunSpec
from common.store import PartInfo, RunFolder, StoreFilesystem, merge, snapshot
from common.store.parts import write_part
from common.store.snapshot import SnapshotWriter

WEIGHTS = "hub:owner/model@0123456"


def make_spec(**changes: Any) -> RunSpec:
    """A valid spec; `changes` replace fields."""
    fields = {
        "dataset": "quiz",
        "dataset_sha256": "d" * 64,
        "num_samples": 7,
        "model": "owner/model",
        "model_source": "owner/model",
        "method": "origin",
        "num_paraphrases": 1,
        "layout": None,
        "positions": None,
        "template": QUESTION_ANSWERING,
        "few_shot": (("what is ice?", "water"),),
        "max_new_tokens": 20,
        "dtype": "float32",
    }
    return RunSpec.model_validate(fields | changes)


def make_samples(count: int, paraphrases: int = 1) -> list[Sample]:
    return [
        Sample(
            tuple(f"question {i}.{w}?" for w in range(paraphrases)), (f"gold {i}", "x"), f"id{i}"
        )
        for i in range(count)
    ]


def make_run(
    store: StoreFilesystem, count: int = 7, name: str = "origin", **changes: Any
) -> RunFolder:
    """A run that exists, with a snapshot of `count` samples and no part yet."""
    paraphrases = changes.get("num_paraphrases", 1)
    with SnapshotWriter(store, ".staging/input.arrow") as writer:
        for sample in make_samples(count, paraphrases):
            writer.add(sample)
    spec = make_spec(num_samples=count, dataset_sha256=writer.sha256, **changes)
    run = RunFolder(store, RunKey(spec.dataset, "owner--model", name))
    run.create(spec, writer.path, {"host": "here"})
    return RunFolder(store, run.key)


def make_info(run: RunFolder, rows: Iterable[int], **changes: Any) -> PartInfo:
    fields = {
        "rows": tuple(rows),
        "failed": (),
        "fingerprint": run.record.fingerprint,
        "model_identity": WEIGHTS,
        "started": 100.0,
        "finished": 102.0,
        "choices": {"device": "cpu"},
        "reasons": {"device": "torch sees no GPU"},
        "counts": {},
        "worker": "tester",
    }
    return PartInfo.model_validate(fields | changes)


def make_answer(
    run: RunFolder,
    row: int,
    paraphrase: int = 0,
    error: str | None = None,
    kind: ErrorKind = "worker",
) -> ResultRow:
    """The row that a worker would write; the prediction tells the row and paraphrase."""
    sample = run.read_samples([row])[0]
    prompt: dict[str, Any] = {}
    if run.method.row_per_paraphrase:
        text = sample.paraphrases[paraphrase]
        prompt = {"paraphrase": text, "prompt": f"Q: {text}\nA:"}
    if error is not None:
        return ResultRow(row, paraphrase, sample.uuid, error=error, error_kind=kind, **prompt)
    text = f"answer {row}.{paraphrase}"
    return ResultRow(
        row, paraphrase, sample.uuid, prediction=text, generation=f" {text}\n",
        tokens=[row, paraphrase], token_logprobs=[-0.5 * row, 0.0], logprob=-0.5 * row,
        finish_reason="stop:\\n", **prompt,
    )  # fmt: skip


def put_parts_seconds_apart(run: RunFolder, seconds: float, *parts: Iterable[int]) -> None:
    """Parts of these rows, the last row of each failed, written with so long between them."""
    for number, rows in enumerate(map(list, parts)):
        path = run.store.path(put_part(run, rows, failed=rows[-1:]))
        os.utime(path, (1000 + number * seconds, 1000 + number * seconds))


def put_part(
    run: RunFolder,
    rows: Iterable[int],
    failed: Iterable[int] = (),
    by_sample: Iterable[int] = (),
    **changes: Any,
) -> str:
    """Write a part as a worker does; returns its path inside the store.

    failed: rows with an error of the worker. by_sample: rows with an error of the sample.
    """
    by_sample = set(by_sample)
    rows, failed = sorted(rows), sorted({*failed, *by_sample})
    paraphrases = range(run.spec.num_paraphrases if run.method.row_per_paraphrase else 1)
    answers = [
        make_answer(
            run, row, w, "it broke" if row in failed else None,
            "sample" if row in by_sample else "worker",
        )
        for row in rows
        for w in paraphrases
    ]  # fmt: skip
    return write_part(run, make_info(run, rows, failed=tuple(failed), **changes), answers)


def shards(rows: Iterable[int], size: int) -> list[list[int]]:
    rows = list(rows)
    return [rows[i : i + size] for i in range(0, len(rows), size)]


def local_store(folder: Path) -> StoreFilesystem:
    return StoreFilesystem.open(str(folder / "store"))


class SharedMemory(MemoryFileSystem):  # type: ignore[misc]
    """Files in memory that several threads may read at once, as on a server.

    By itself fsspec gives every reader the same file object: one thread moves it for the others.
    """

    def _open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        if mode != "rb":
            return super()._open(path, mode, **options)
        with super()._open(path, mode, **options) as file:
            return io.BytesIO(file.getvalue())


def memory_store() -> StoreFilesystem:
    """A file system that is not the local disk: what S3 is to the store, without a network."""
    memory = SharedMemory()
    memory.store, memory.pseudo_dirs = {}, [""]
    handler = fs.FSSpecHandler(memory)
    return StoreFilesystem(fs.PyFileSystem(handler), "/bucket/runs", "memory://bucket/runs")


@pytest.fixture(params=["local", "memory"])
def any_store(request: pytest.FixtureRequest, tmp_path: Path) -> StoreFilesystem:
    """A store on the local disk, and one on another file system."""
    return local_store(tmp_path) if request.param == "local" else memory_store()


def use_small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have batches of 4 samples and windows of 8, so that small runs cross every border."""
    monkeypatch.setattr(snapshot, "SNAPSHOT_BATCH_ROWS", 4)
    monkeypatch.setattr(merge, "SNAPSHOT_BATCH_ROWS", 4)
    monkeypatch.setattr(merge, "WINDOW_ROWS", 8)


def read_feather(run: RunFolder) -> pa.Table:
    return run.store.open_arrow(run.feather).read_all()


def all_files(store: StoreFilesystem) -> list[str]:
    return store.list("", recursive=True)
