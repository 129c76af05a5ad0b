"""Samples with one uuid: found in a stream of any length, at 8 bytes for each sample."""

from array import array
from collections.abc import Iterable

import numpy as np

from common.errors import UsageError
from common.records import Sample
from producer.datasets.readers.rows import Row


class UuidHashes:
    """The 64-bit hash of every uuid, to find out which hashes occur more than once.

    A set of the uuids themselves would take a hundred bytes for each. Two uuids may share a
    hash, so a repeated hash is a suspicion: `refuse_duplicates` compares the uuids.
    """

    def __init__(self) -> None:
        self._hashes = array("q")

    def add(self, uuid: str) -> None:
        self._hashes.append(hash(uuid))

    def repeated_hashes(self) -> set[int]:
        """Hashes that were added more than once.

        >>> hashes = UuidHashes()
        >>> for uuid in ("a", "b", "a"):
        ...     hashes.add(uuid)
        >>> hashes.repeated_hashes() == {hash("a")}
        True
        """
        ordered = np.sort(np.frombuffer(self._hashes, dtype=np.int64))
        return set(ordered[1:][ordered[1:] == ordered[:-1]].tolist())


def refuse_duplicates(samples: Iterable[tuple[Row, Sample]], repeated_hashes: set[int]) -> None:
    """Raise UsageError if two samples have one uuid; the message names the rows of both."""
    first_places: dict[str, str] = {}
    for row, sample in samples:
        if hash(sample.uuid) not in repeated_hashes:
            continue
        if sample.uuid in first_places:
            raise UsageError(_describe_duplicate(row, sample, first_places[sample.uuid]))
        first_places[sample.uuid] = row.place


def _describe_duplicate(row: Row, sample: Sample, first_place: str) -> str:
    if row.has("uuid") or sample.uuid != Sample(sample.paraphrases).uuid:
        return (
            f"{row.where}: column 'uuid' must differ from row to row, {sample.uuid!r} is "
            f"that of {first_place} too"
        )
    return (
        f"{row.where}: column 'question' must differ from row to row where there is no "
        f"'uuid', {sample.paraphrases[0][:60]!r} is that of {first_place} too"
    )
