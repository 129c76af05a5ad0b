"""Question files for tests: read, damaged byte by byte, and read while memory is measured."""

import random
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

from common.errors import UsageError
from common.records import Sample
from producer.datasets.dataset import file_dataset


def read_samples(path: Path) -> Iterator[Sample]:
    """The samples of a question file."""
    return file_dataset("quiz", path).samples()


def refusals_of_flipped_bytes(path: Path, good: bytes) -> int:
    """Write `good` 60 times with one byte changed, and count the files that are refused.

    Any error but UsageError fails the test.
    """
    generator, refused = random.Random(7), 0
    for _ in range(60):
        damaged = bytearray(good)
        damaged[generator.randrange(len(good))] = generator.randrange(256)
        path.write_bytes(damaged)
        try:
            list(read_samples(path))
        except UsageError:
            refused += 1
    return refused


def peak_of_reading(path: Path, rows: int) -> int:
    """Peak memory in bytes while a file of `rows` questions is read."""
    tracemalloc.start()
    try:
        assert sum(1 for _ in read_samples(path)) == rows
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
