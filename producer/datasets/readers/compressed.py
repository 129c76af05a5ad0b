"""Files that may be compressed with gzip or Zstandard; their first bytes decide."""

import io
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import BinaryIO, Literal, cast

from common.errors import UsageError, first_line, is_of_the_system

ENDINGS = (".gz", ".zst")

_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_ZSTD_SKIPPABLE = b"\x2a\x4d\x18"
"""Follows a byte from 0x50 to 0x5f where a parallel compressor wrote the file."""


def plain_ending(path: Path) -> str:
    """The ending of a file name, in lower case, without that of a compressed file.

    >>> plain_ending(Path("train.JSONL.gz")), plain_ending(Path("q.csv")), plain_ending(Path("q"))
    ('.jsonl', '.csv', '')
    """
    name = path.name.lower()
    for ending in ENDINGS:
        name = name.removesuffix(ending)
    return Path(name).suffix


@contextmanager
def opened(path: Path) -> Iterator[io.BufferedReader]:
    """The bytes of a file as a stream, decompressed; raises UsageError for a damaged file.

    The name does not matter: a transfer may have decompressed a file and kept its name.
    """
    with path.open("rb") as file:
        codec = _codec(file.peek(4))
        if codec is None:
            yield file
            return
        import pyarrow as pa

        try:
            with pa.CompressedInputStream(file, codec) as stream:
                yield io.BufferedReader(cast(io.RawIOBase, stream))
        except OSError as error:
            if is_of_the_system(error):
                raise
            raise UsageError(
                f"data file {path} is no {codec} file, or a damaged one: {first_line(error)}"
            ) from None


@contextmanager
def plain_file(path: Path) -> Iterator[Path]:
    """A file that can be read at any offset: the file itself, or a decompressed temporary copy."""
    with opened(path) as stream:
        if not isinstance(stream.raw, io.FileIO):
            with NamedTemporaryFile(prefix="self-ensemble-") as copy:
                shutil.copyfileobj(stream, cast(BinaryIO, copy))
                copy.flush()
                yield Path(copy.name)
            return
    yield path


def _codec(start: bytes) -> Literal["gzip", "zstd"] | None:
    if start.startswith(_GZIP):
        return "gzip"
    is_skippable = start[1:4] == _ZSTD_SKIPPABLE and 0x50 <= start[0] <= 0x5F
    return "zstd" if start.startswith(_ZSTD) or is_skippable else None
