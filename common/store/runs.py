"""Run folders: the record of a run, its merged file, and the weights that it is pinned to."""

import errno
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa
from pydantic import ValidationError

from common.errors import OverwrittenRun, RejectShard, UsageError
from common.methods import Method, get_method
from common.model_files import Stamp
from common.records import Sample
from common.run import RunKey, RunSpec
from common.store.creation import put_in_place
from common.store.deletion import clear, set_aside, sweep
from common.store.filesystem import StoredFile, StoreFilesystem
from common.store.first_writer import votes_folder, write_first
from common.store.pin import Pin
from common.store.run_record import RunRecord
from common.store.snapshot import read_snapshot


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
    def plans(self) -> str:
        """Folder of the plan of a run that waits for another (common.store.waiting)."""
        return f"{self.key}.after"

    @property
    def feather_path(self) -> str:
        """Path of the merged file for people and for other programs."""
        return self.store.path(self.feather)

    def exists(self) -> bool:
        return self.store.exists(self.file("run.json"))

    def list_files(self) -> list[StoredFile]:
        """The files of the run, with its merged file, if any; of a waiting run also its plan."""
        files = [*self.store.list_files(str(self.key), recursive=True)]
        if all(file.path != self.file("run.json") for file in files):
            files += self.store.list_files(self.plans, recursive=True)
        return [*files, *self.store.list_file(self.feather)]

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

    def is_overwritten(self) -> bool:
        """Whether another run has taken this one's place since its record was read.

        Raises UsageError if that one's record is damaged.
        """
        now = self._generation_now()
        return now is not None and now != self.record.generation

    def check_stands(self) -> None:
        """Raise OverwrittenRun if another run has taken this one's place.

        Raises FileNotFoundError if none is there: it was deleted, is being overwritten right now,
        or the store is away.
        """
        now = self._generation_now()
        if now is None:
            path = self.store.path(self.file("run.json"))
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        if now != self.record.generation:
            raise OverwrittenRun(
                f"run {self.key} was overwritten while this process worked on it, so what was "
                "made of the old one is dropped; `producer runs` lists what is there now"
            )

    def _generation_now(self) -> str | None:
        try:
            return RunFolder(self.store, self.key).record.generation
        except FileNotFoundError:
            return None

    @property
    def spec(self) -> RunSpec:
        return self.record.spec

    @property
    def method(self) -> Method:
        return get_method(self.spec.method)

    def create(self, spec: RunSpec, snapshot: str, provenance: dict[str, Any]) -> bool:
        """Make the run exist, with a snapshot as its samples; return whether it was made.

        snapshot: path of the file inside the store; it stays where it is if no run was made of it,
        as there is one by now.
        """
        record = RunRecord.begin(self.key, spec, provenance)
        text = json.dumps(record.model_dump(mode="json"), indent=2, ensure_ascii=False).encode()
        return put_in_place(self.store, str(self.key), snapshot, text)

    def delete(self) -> None:
        """Delete the run, its merged file and its plan, even while workers write parts."""
        self.set_aside()
        self.sweep()

    def set_aside(self) -> None:
        """Make the run and its merged file vanish, at once if renaming is; `sweep` must follow.

        Its plan goes first, or who merges the run before it would create it again.
        """
        clear(self.store, self.plans)
        set_aside(self.store, str(self.key))
        self.store.delete(self.feather)

    def set_leftovers_aside(self) -> None:
        """Make leftovers of an earlier run vanish; a run that is there by now stays."""
        if self.store.is_local:
            set_aside(self.store, str(self.key), unless="run.json")

    def delete_result_of_another(self) -> None:
        """Delete a merged file that an earlier run of this name left."""
        if self.store.exists(self.feather) and not self.is_merged():
            self.store.delete(self.feather)

    def sweep(self) -> None:
        """Delete everything that was set aside, of this run and of earlier runs."""
        sweep(self.store, str(self.key))

    @contextmanager
    def write(self, path: str) -> Iterator[Any]:
        """Yield a sink, as the store's `write` does, for a file that was made of this run.

        Raises as `check_stands` does, and writes nothing, if the run does not stand when the block
        begins or ends. A run may yet be overwritten between that last look and the rename, so the
        file has to carry the generation.
        """
        self.check_stands()
        try:
            with self.store.write(path) as sink:
                yield sink
                self.check_stands()
        except OSError:
            self.check_stands()  # The folder may have been set aside below the file.
            raise

    @contextmanager
    def write_result(self) -> Iterator[Any]:
        """Yield a sink for the merged file, which names the run's record in its metadata.

        Raises as `write` does. A window of one rename stays: if the run is overwritten, answered
        and merged between the last look at its record and the rename, the new file is replaced.
        The look after the rename finds this and deletes the old file, and until then its
        generation tells readers that it is none of theirs. So the new run may have to be merged
        again; it never has rows of the old run.
        """
        with self.write(self.feather) as sink:
            yield sink
        if self._generation_now() != self.record.generation:
            self._take_back()
            self.check_stands()

    def _take_back(self) -> None:
        try:
            if not self.record.is_not_of(self.store.open_arrow(self.feather).schema.metadata):
                self.store.delete(self.feather)
        except (UsageError, FileNotFoundError):
            return  # The overwriting producer has deleted it, or another file took its place.

    def read_samples(self, rows: Sequence[int]) -> list[Sample]:
        """Read samples by row number. Raises RejectShard for a row that does not exist."""
        bad = [row for row in rows if not 0 <= row < self.spec.num_samples]
        if bad:
            raise RejectShard(f"run {self.key} has {self.spec.num_samples} rows, not row {bad[0]}")
        return read_snapshot(self.store, self.file("input.arrow"), rows)

    def is_merged(self) -> bool:
        """Whether there is a merged file of this very run; one that is damaged counts."""
        if not self.store.exists(self.feather):
            return False
        try:
            metadata = self.store.open_arrow(self.feather).schema.metadata
            return not self.record.is_not_of(metadata)
        except UsageError:
            return True

    def open_result(self) -> pa.ipc.RecordBatchFileReader:
        """Open the merged file.

        Raises UsageError if it does not exist, is damaged, or was made of an overwritten run.
        """
        if not self.store.exists(self.feather):
            raise UsageError(f"run {self.key} has no merged file yet; `producer merge {self.key}`")
        reader = self.store.open_arrow(self.feather)
        if self.record.is_not_of(reader.schema.metadata):
            raise UsageError(
                f"{self.feather_path} was made of a run of this name that was overwritten since; "
                f"`producer merge {self.key}` makes it anew"
            )
        return reader

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

    def pin_model(
        self, identity: str, files: Stamp | None = None, prompts: str | None = None
    ) -> None:
        """Pin the run to the weights and prompts of the first worker; see `Pin`.

        Raises StopRun for others. Of workers that begin at once one pins the run; the others are
        told before they compute. Raises as `check_stands` does. The file's name carries the
        generation: a pin that comes late is not the new run's.
        """
        self.check_stands()
        mine = Pin(identity, files or {}, prompts)
        pinned = self._decode_pin(write_first(self.store, self.pin_path, mine.encode()))
        pinned.refuse_other(mine, str(self.key))

    def note_model(self, identity: str, files: Stamp) -> None:
        """Note again the files that the weights of a pinned run are read from."""
        pinned = self._pinned()
        pin = Pin(identity, files, pinned.prompts if pinned else None)
        self.store.write_bytes(self.pin_path, pin.encode())

    def forget_model(self) -> None:
        """Unpin a run that has no answers yet: the next worker pins it again."""
        self.store.delete(votes_folder(self.pin_path))
        self.store.delete(self.pin_path)

    def pinned_model(self) -> str | None:
        """Identity of the weights that the run is pinned to, or None before the first shard."""
        pinned = self._pinned()
        return pinned.identity if pinned else None

    def pinned_files(self) -> Stamp:
        """Stamp of the model's files at that time; empty unless the model is a local folder."""
        pinned = self._pinned()
        return pinned.files if pinned else {}

    @property
    def pin_path(self) -> str:
        """Path, inside the store, of the file that tells the weights."""
        return self.file(f"model-{self.record.generation}.json")

    def _pinned(self) -> Pin | None:
        if not self.store.exists(self.pin_path):
            return None
        return self._decode_pin(self.store.read_bytes(self.pin_path))

    def _decode_pin(self, content: bytes) -> Pin:
        return Pin.decode(content, self.store.path(self.pin_path))
