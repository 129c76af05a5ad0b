"""Run folders: the record of a run, its merged file, and the weights that it is pinned to."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, ValidationError

from common.errors import RejectShard, StopRun, UsageError, first_line
from common.methods import Method, get_method
from common.model_files import Stamp
from common.records import Sample
from common.run import RunKey, RunSpec
from common.store.filesystem import StoreFilesystem
from common.store.first_writer import votes_folder, write_first
from common.store.snapshot import read_snapshot


class RunRecord(BaseModel):
    """The content of run.json.

    provenance: who made the run, when and how; not part of the fingerprint.
    """

    model_config = ConfigDict(frozen=True)

    key: str
    fingerprint: str
    spec: RunSpec
    provenance: dict[str, Any]


@dataclass(frozen=True)
class RunFolder:
    """One run in a store. Making this object touches no file."""

    store: StoreFilesystem
    key: RunKey

    def file(self, name: str) -> str:
        return f"{self.key}/{name}"

    @property
    def feather(self) -> str:
        return f"{self.key}.feather"

    @property
    def feather_path(self) -> str:
        """Path of the merged file for people and for other programs."""
        return self.store.path(self.feather)

    def exists(self) -> bool:
        return self.store.exists(self.file("run.json"))

    @cached_property
    def record(self) -> RunRecord:
        """The content of run.json, read once. Raises UsageError if it is damaged."""
        try:
            return RunRecord.model_validate_json(self.store.read_bytes(self.file("run.json")))
        except ValidationError as error:
            raise UsageError(
                f"{self.file('run.json')} in {self.store.uri} is not a run record of this "
                f"version: {error.errors()[0]['msg']}; enqueue with --overwrite to start anew"
            ) from None

    @property
    def spec(self) -> RunSpec:
        return self.record.spec

    @property
    def method(self) -> Method:
        return get_method(self.spec.method)

    def create(self, spec: RunSpec, snapshot: str, provenance: dict[str, Any]) -> None:
        """Move a snapshot into the folder and write the record, which makes the run exist.

        snapshot: path of the file inside the store.
        """
        record = RunRecord(
            key=str(self.key), fingerprint=spec.fingerprint, spec=spec, provenance=provenance
        )
        self.store.move(snapshot, self.file("input.arrow"))
        text = json.dumps(record.model_dump(mode="json"), indent=2, ensure_ascii=False)
        self.store.write_bytes(self.file("run.json"), text.encode())

    def delete(self) -> None:
        """Delete the run and its merged file, the record first: without it no run exists."""
        self.store.delete(self.file("run.json"))
        self.store.delete(self.feather)
        self.store.delete(str(self.key))

    def read_samples(self, rows: Sequence[int]) -> list[Sample]:
        """Read samples by row number. Raises RejectShard for a row that does not exist."""
        bad = [row for row in rows if not 0 <= row < self.spec.num_samples]
        if bad:
            raise RejectShard(f"run {self.key} has {self.spec.num_samples} rows, not row {bad[0]}")
        return read_snapshot(self.store, self.file("input.arrow"), rows)

    def open_result(self) -> pa.ipc.RecordBatchFileReader:
        """Open the merged file. Raises UsageError if it does not exist or is damaged."""
        if not self.store.exists(self.feather):
            raise UsageError(f"run {self.key} has no merged file yet; `producer merge {self.key}`")
        return self.store.open_arrow(self.feather)

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Yield the record batches of the merged file, so that memory does not grow with the run.

        columns: names of the columns to keep; None keeps all. Raises UsageError as `open_result`.
        """
        reader = self.open_result()
        for number in range(reader.num_record_batches):
            batch = reader.get_batch(number)
            yield batch if columns is None else batch.select(columns)

    def read_result(self, columns: Sequence[str]) -> pa.Table:
        """Read columns of the merged file. Raises UsageError as `open_result`."""
        schema = self.open_result().schema
        fields = pa.schema([schema.field(name) for name in columns])
        return pa.Table.from_batches(list(self.batches(columns)), schema=fields)

    def pin_model(self, identity: str, files: Stamp | None = None) -> None:
        """Pin the run to the weights of the first worker. Raises StopRun for other weights.

        files: the files of a local model, which a producer compares without hashing them.
        Of workers that begin at once one pins the run; the others are told before they compute.
        """
        content = _pin(identity, files or {})
        pinned = self._pin_of(write_first(self.store, self.file("model.json"), content))
        if pinned["identity"] != identity:
            raise StopRun(
                f"run {self.key} was begun with the weights {pinned['identity']}, this worker "
                f"holds {identity}; give it the same weights, or enqueue with --overwrite"
            )

    def note_model(self, identity: str, files: Stamp) -> None:
        """Note again the files that the weights of a pinned run are read from."""
        self.store.write_bytes(self.file("model.json"), _pin(identity, files))

    def forget_model(self) -> None:
        """Unpin a run that has no answers yet: the next worker pins it again."""
        self.store.delete(votes_folder(self.file("model.json")))
        self.store.delete(self.file("model.json"))

    def pinned_model(self) -> str | None:
        """Identity of the weights that the run is pinned to, or None before the first shard."""
        pinned = self._pinned()
        return str(pinned["identity"]) if pinned else None

    def pinned_files(self) -> Stamp:
        """Stamp of the model's files at that time; empty unless the model is a local folder."""
        files = (self._pinned() or {}).get("files", {})
        return {name: (size, changed) for name, (size, changed) in files.items()}

    def _pinned(self) -> dict[str, Any] | None:
        if not self.store.exists(self.file("model.json")):
            return None
        return self._pin_of(self.store.read_bytes(self.file("model.json")))

    def _pin_of(self, content: bytes) -> dict[str, Any]:
        try:
            pinned: dict[str, Any] = json.loads(content)
            return {"identity": str(pinned["identity"]), "files": dict(pinned.get("files", {}))}
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise UsageError(
                f"{self.store.path(self.file('model.json'))} does not tell the weights that the "
                f"run was begun with ({first_line(error)}); delete it if all workers have the "
                "same weights, else enqueue with --overwrite"
            ) from None


def _pin(identity: str, files: Stamp) -> bytes:
    return json.dumps({"identity": identity, "files": files}).encode()


def open_run(store: StoreFilesystem, key: RunKey) -> RunFolder:
    """Return the folder of run `key`. Raises UsageError if the store does not have it."""
    run = RunFolder(store, key)
    if not run.exists():
        raise UsageError(
            f"run {key} is not in the store {store.uri}; `producer runs` lists what is"
        )
    return run


def list_runs(store: StoreFilesystem) -> Iterator[RunFolder]:
    """Yield every run of a store, ordered by key."""
    paths = (path.split("/") for path in store.list("", recursive=True))
    keys = sorted(path[:3] for path in paths if len(path) == 4 and path[3] == "run.json")
    for key in keys:
        yield RunFolder(store, RunKey(*key))
