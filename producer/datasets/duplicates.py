"""RepeatedUuids that come twice, found in a stream of any length in 8 bytes for each."""

from array import array
from collections.abc import Iterator

import numpy as np

from common.errors import UsageError
from producer.datasets.dataset import uuid_of
from producer.datasets.question_files import Question


class RepeatedUuids:
    """Marks every uuid by its hash of 64 bits, and tells which hashes came more than once.

    A set of the uuids themselves would take a hundred bytes for each. Two uuids may share a
    hash, so what is told is a suspicion: `refuse_duplicates` looks at the questions again.
    """

    def __init__(self) -> None:
        self._hashes = array("q")

    def add(self, uuid: str) -> None:
        self._hashes.append(hash(uuid))

    def repeated_hashes(self) -> set[int]:
        """Hashes seen more than once.

        >>> uuids = RepeatedUuids()
        >>> for uuid in ("a", "b", "a"):
        ...     uuids.add(uuid)
        >>> uuids.repeated_hashes() == {hash("a")}
        True
        """
        ordered = np.sort(np.frombuffer(self._hashes, dtype=np.int64))
        return set(ordered[1:][ordered[1:] == ordered[:-1]].tolist())


def refuse_duplicates(questions: Iterator[Question], repeated_hashes: set[int]) -> None:
    """Raise a UsageError that names the first two rows with one uuid, if there are any."""
    first: dict[str, str] = {}
    for question in questions:
        uuid = uuid_of(question)
        if hash(uuid) not in repeated_hashes:
            continue
        if uuid in first:
            raise UsageError(_complaint(question, first[uuid].rpartition(", ")[2]))
        first[uuid] = question.where


def _complaint(question: Question, first: str) -> str:
    if question.uuid is not None:
        return (
            f"{question.where}: column 'uuid' must differ from row to row, {question.uuid!r} is "
            f"that of {first} too"
        )
    return (
        f"{question.where}: column 'question' must differ from row to row where there is no "
        f"'uuid', {question.question[:60]!r} is that of {first} too"
    )
