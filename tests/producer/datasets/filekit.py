"""Question files as tests try them: damaged byte by byte, and read while memory is watched."""

import random
import tracemalloc
from pathlib import Path

from common.errors import UsageError
from producer.datasets.question_files import read_questions


def refusals_of_flipped_bytes(path: Path, good: bytes) -> int:
    """Read a file 60 times, each time with another byte of `good` changed; how many are refused.

    Whatever is raised but UsageError is the test's failure.
    """
    generator, refused = random.Random(7), 0
    for _ in range(60):
        damaged = bytearray(good)
        damaged[generator.randrange(len(good))] = generator.randrange(256)
        path.write_bytes(damaged)
        try:
            list(read_questions(path))
        except UsageError:
            refused += 1
    return refused


def peak_of_reading(path: Path, rows: int) -> int:
    """The most bytes that Python holds while a file of so many questions is read."""
    tracemalloc.start()
    try:
        assert sum(1 for _ in read_questions(path)) == rows
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
