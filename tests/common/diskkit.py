"""Stores whose every file operation is a moment at which its process may be killed or paused."""

import builtins
import os
from pathlib import Path
from typing import Any

import pytest
from pyarrow import fs

from common.store import StoreFilesystem, filesystem, parts
from tests.common.processkit import before_operation


class WatchedFilesystem:
    """A `pyarrow.fs` file system that announces its operations.

    What is many operations of a real one is many here: a folder is deleted file by file, and an
    object store copies what it moves.
    """

    def __init__(self, inner: Any, moves: bool) -> None:
        self._inner, self._moves = inner, moves

    def get_file_info(self, what: Any) -> Any:
        before_operation(str(what), changes=False)
        return self._inner.get_file_info(what)

    def open_input_stream(self, path: str) -> Any:
        before_operation(path, changes=False)
        return self._inner.open_input_stream(path)

    def open_input_file(self, path: str) -> Any:
        before_operation(path, changes=False)
        return self._inner.open_input_file(path)

    def open_output_stream(self, path: str) -> Any:
        before_operation(path)
        return self._inner.open_output_stream(path)

    def create_dir(self, path: str, recursive: bool = True) -> None:
        before_operation(path)
        self._inner.create_dir(path, recursive=recursive)

    def move(self, source: str, target: str) -> None:
        before_operation(target)
        if self._moves:
            self._inner.move(source, target)
        else:
            self._inner.copy_file(source, target)
            self.delete_file(source)

    def delete_file(self, path: str) -> None:
        before_operation(path)
        self._inner.delete_file(path)

    def delete_dir(self, path: str) -> None:
        self._delete_files(path)
        self._inner.delete_dir(path)

    def delete_dir_contents(self, path: str, missing_dir_ok: bool = False) -> None:
        self._delete_files(path)
        self._inner.delete_dir_contents(path, missing_dir_ok=missing_dir_ok)

    def _delete_files(self, folder: str) -> None:
        selector = fs.FileSelector(folder, recursive=True, allow_not_found=True)
        for info in self._inner.get_file_info(selector):
            if info.type == fs.FileType.File:
                self.delete_file(info.path)


class WatchedStore(StoreFilesystem):
    """A store on a file system that announces its operations."""

    @property
    def is_local(self) -> bool:
        return self.uri != "mock"


class WatchedOs:
    """The module `os` as `common.store.filesystem` sees it. Nothing is flushed to the disk."""

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def link(self, source: str, target: str) -> None:
        before_operation(target)
        os.link(source, target)

    def fsync(self, descriptor: int) -> None:
        before_operation(f"descriptor {descriptor}")


class OneReader:
    """Stands for a pool of threads: parts are read one by one, by the process itself."""

    def __init__(self, *_: int) -> None:
        pass

    def __enter__(self) -> "OneReader":
        return self

    def __exit__(self, *_: Any) -> None:
        pass

    map = staticmethod(map)


def read_parts_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "ThreadPoolExecutor", OneReader)


def watch_local_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the operations of the store that pass `pyarrow.fs` by announce themselves, too."""

    def watched_open(path: str, mode: str) -> Any:
        before_operation(path)
        return builtins.open(path, mode)

    monkeypatch.setattr(filesystem, "os", WatchedOs())
    monkeypatch.setattr(filesystem, "open", watched_open, raising=False)


def local_disk(folder: Path) -> StoreFilesystem:
    return WatchedStore(WatchedFilesystem(fs.LocalFileSystem(), True), str(folder), str(folder))


def object_store() -> StoreFilesystem:
    """No exclusive step, no rename; in memory."""
    return WatchedStore(WatchedFilesystem(fs._MockFileSystem(), False), "bucket/runs", "mock")
