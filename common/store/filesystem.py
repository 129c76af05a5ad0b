"""The file system of a store: a local directory or any `pyarrow.fs` URI.

Files are written whole or not at all. Knows nothing of runs.
"""

import errno
import os
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import fs

from common.errors import UsageError, first_line, is_of_the_system
from common.store.links import refuse_way_out

_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
_TAKEN = {errno.ENOTEMPTY, errno.EEXIST}


@dataclass(frozen=True)
class StoredFile:
    """What a listing tells of a file. modified: None if the file system does not keep it."""

    path: str
    modified: datetime | None


@dataclass(frozen=True)
class StoreFilesystem:
    """A directory of a file system. Its methods take paths relative to it, with `/`.

    Each method that reaches a file raises UsageError if a link in a local store leads outside it.
    """

    filesystem: fs.FileSystem
    root: str
    uri: str

    @classmethod
    def open(cls, uri: str) -> "StoreFilesystem":
        """Open a directory or URI (`s3://bucket/runs`); reads and writes no file.

        Raises UsageError if `pyarrow.fs` does not open it.
        """
        try:
            if "://" not in uri:
                root = str(Path(uri).expanduser().absolute())
                root.encode()
                return cls(fs.LocalFileSystem(), root, uri)
            filesystem, root = fs.FileSystem.from_uri(uri)
        except UnicodeEncodeError:
            raise UsageError(
                f"store {uri!r}: its path must be UTF-8, as pyarrow.fs takes no other; rename the "
                "folder, or, in a locale without UTF-8, set PYTHONUTF8=1"
            ) from None
        except (pa.ArrowInvalid, OSError, RuntimeError) as error:
            raise UsageError(
                f"store {uri!r} is no directory and no URI that pyarrow.fs opens: "
                f"{first_line(error)}"
            ) from None
        return cls(filesystem, root.rstrip("/"), uri)

    @property
    def is_local(self) -> bool:
        return isinstance(self.filesystem, fs.LocalFileSystem)

    def path(self, relative: str) -> str:
        return f"{self.root}/{relative}"

    def inside(self, relative: str) -> str:
        """Return the path. Raises UsageError if a link leads it outside the store."""
        if self.is_local:
            refuse_way_out(self.root, relative)
        return self.path(relative)

    def check_writable(self) -> None:
        """Write and delete a file. Raises UsageError, in one sentence, if that fails."""
        probe = f".writable-{uuid.uuid4().hex}"
        try:
            self.filesystem.create_dir(self.root, recursive=True)
            with self.write(probe) as sink:
                sink.write(b"")
            self.filesystem.delete_file(self.path(probe))
        except OSError as error:
            raise UsageError(
                f"store {self.uri} cannot be written{self._owner()}: "
                f"{error.strerror or error}; name another with --store or SELF_ENSEMBLE_STORE"
            ) from None

    def _owner(self) -> str:
        if not self.is_local:
            return ""
        try:
            folders = [Path(self.root), *Path(self.root).parents]
            existing = next(folder for folder in folders if folder.exists())
            return f" by {os.geteuid()} ({existing} belongs to {existing.owner()})"
        except (KeyError, OSError):
            return ""

    def exists(self, relative: str) -> bool:
        info: fs.FileInfo = self.filesystem.get_file_info(self.inside(relative))
        return bool(info.type != fs.FileType.NotFound)

    def list(self, relative: str, recursive: bool = False) -> list[str]:
        """Paths of the files in a folder, relative to the store; empty if there is no folder."""
        return [file.path for file in self.list_files(relative, recursive)]

    def list_files(self, relative: str, recursive: bool = False) -> Sequence[StoredFile]:
        """The files in a folder, ordered by path; empty if there is no folder."""
        folder = self.inside(relative)
        selector = fs.FileSelector(folder, recursive=recursive, allow_not_found=True)
        files = self._files(self.filesystem.get_file_info(selector))
        return sorted(files, key=attrgetter("path"))

    def list_folders(self, relative: str) -> Sequence[str]:
        """Paths of the folders in a folder, ordered; empty if there is no folder."""
        selector = fs.FileSelector(self.inside(relative), allow_not_found=True)
        infos = self.filesystem.get_file_info(selector)
        prefix = len(self.root) + 1
        return sorted(i.path[prefix:] for i in infos if i.type == fs.FileType.Directory)

    def list_file(self, relative: str) -> Sequence[StoredFile]:
        """The file of this path as a list of one; empty if there is none."""
        return self._files([self.filesystem.get_file_info(self.inside(relative))])

    def _files(self, infos: Iterable[fs.FileInfo]) -> Sequence[StoredFile]:
        prefix = len(self.root) + 1
        return [StoredFile(i.path[prefix:], i.mtime) for i in infos if i.type == fs.FileType.File]

    def read_bytes(self, relative: str) -> bytes:
        with self.filesystem.open_input_stream(self.inside(relative)) as source:
            return bytes(source.read())

    def open_arrow(self, relative: str) -> pa.ipc.RecordBatchFileReader:
        """Open an Arrow IPC file, memory-mapped if the store is local.

        Raises UsageError for a file that is not whole.
        """
        path = self.inside(relative)
        source = pa.memory_map(path) if self.is_local else self.filesystem.open_input_file(path)
        try:
            return pa.ipc.open_file(source)
        except (pa.ArrowInvalid, OSError) as error:
            if is_of_the_system(error):
                raise
            raise UsageError(f"{path} is not a whole Arrow file: {first_line(error)}") from None

    @contextmanager
    def write(self, relative: str) -> Iterator[Any]:
        """Yield a sink whose content appears under `relative` when the block ends, or never.

        On a local disk the file is flushed before the rename, and its folder after it.
        """
        final = self.inside(relative)
        temporary = f"{final}.{uuid.uuid4().hex[:12]}.tmp"
        self.filesystem.create_dir(final.rpartition("/")[0], recursive=True)
        try:
            if self.is_local:
                with open(temporary, "wb") as file:
                    yield file
                    file.flush()
                    os.fsync(file.fileno())
            else:
                with self.filesystem.open_output_stream(temporary) as stream:
                    yield stream
            self.filesystem.move(temporary, final)
            self._sync_folder(final)
        except BaseException:
            self._discard(temporary)
            raise

    def write_bytes(self, relative: str, content: bytes) -> None:
        with self.write(relative) as sink:
            sink.write(content)

    def create(self, relative: str, content: bytes) -> bool:
        """Write a file unless there is one: of many who try at once, the file of one stays.

        Returns whether there is a file now, always a whole one; False, and nothing is written,
        if the file system has no exclusive step: object stores, and disks without hard links.
        """
        if not self.is_local:
            return False
        whole = f"{relative}.{uuid.uuid4().hex[:12]}"
        self.write_bytes(whole, content)
        try:
            os.link(self.path(whole), self.path(relative))
            self._sync_folder(self.path(relative))
        except FileExistsError:
            return True
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            return False
        finally:
            self.delete(whole)
        return True

    def move(self, source: str, target: str) -> None:
        self.filesystem.create_dir(self.inside(target).rpartition("/")[0], recursive=True)
        self.filesystem.move(self.inside(source), self.inside(target))

    def move_new(self, source: str, target: str) -> bool:
        """Move a folder to a name that no folder has but an empty one; return whether it was so.

        For local stores: one step of the file system, so of many who try at once one wins.
        """
        try:
            self.move(source, target)
        except OSError as error:
            if error.errno not in _TAKEN:
                raise
            return False
        self._sync_folder(self.path(target))
        return True

    def delete(self, relative: str) -> None:
        """Delete a file, or a folder and its content. A missing path is no error."""
        path = self.inside(relative)
        info = self.filesystem.get_file_info(path)
        if info.type == fs.FileType.Directory:
            self.filesystem.delete_dir(path)
        elif info.type == fs.FileType.File:
            self.filesystem.delete_file(path)

    def empty(self, relative: str) -> None:
        """Delete the content of a folder. A missing folder is no error."""
        self.filesystem.delete_dir_contents(self.inside(relative), missing_dir_ok=True)

    def _discard(self, path: str) -> None:
        if self.filesystem.get_file_info(path).type == fs.FileType.File:
            self.filesystem.delete_file(path)

    def _sync_folder(self, path: str) -> None:
        if self.is_local:
            descriptor = os.open(path.rpartition("/")[0], os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
