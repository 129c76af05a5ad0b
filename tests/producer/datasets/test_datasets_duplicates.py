"""producer.datasets.duplicates: two samples with one uuid, far apart, in little memory."""

import tracemalloc

import pytest

from common.errors import UsageError
from common.prompts import QUESTION_ANSWERING
from common.records import Sample
from producer.datasets.dataset import Dataset, Skipped
from producer.datasets.duplicates import UuidHashes, refuse_duplicates
from producer.datasets.readers.questions import read_question
from producer.datasets.readers.rows import Row, number_rows
from producer.datasets.stream import SampleStream


def dataset_of(uuids):
    """One sample for each uuid; None stands for a row that is skipped."""
    records = [
        {"question": f"q{number}?", "answers": ["a"], "uuid": uuid}
        for number, uuid in enumerate(uuids)
    ]

    def read(row):
        return read_question(row) if row.has("uuid") else Skipped("odd")

    return Dataset(
        "quiz", QUESTION_ANSWERING, lambda: number_rows("quiz", records), lambda _: [], 0, "", read
    )


def test_uuids_that_differ_are_no_suspects():
    hashes = UuidHashes()
    for number in range(10_000):
        hashes.add(f"u-{number}")
    assert hashes.repeated_hashes() == set()


@pytest.mark.parametrize("count", [0, 1])
def test_few_uuids_are_no_suspects(count):
    hashes = UuidHashes()
    for number in range(count):
        hashes.add(str(number))
    assert hashes.repeated_hashes() == set()


def test_a_pair_is_found_however_far_apart():
    uuids = ["a", *(f"u-{i}" for i in range(5000)), "a", "u-7"]
    with pytest.raises(UsageError, match=r"quiz, question 5002: .* 'a' is that of question 1 too"):
        list(SampleStream(dataset_of(uuids), None, None))


def test_rows_that_are_skipped_are_not_compared():
    stream = SampleStream(dataset_of(["a", None, None, "b"]), None, None)
    assert [sample.uuid for sample in stream] == ["a", "b"]
    assert stream.notes == ("2 of 4 rows skipped: odd",)


def test_what_lies_behind_the_limit_is_not_read():
    assert len(list(SampleStream(dataset_of(["a", "b", "a"]), None, 2))) == 2


def test_two_uuids_that_share_a_hash_are_not_refused():
    """A repeated hash is a suspicion and no proof: the uuids themselves decide."""
    samples = [(Row("f", 1, {}), Sample(("q?",), ("a",), uuid)) for uuid in ("a", "b")]
    refuse_duplicates(samples, {hash("a"), hash("b")})


def test_a_uuid_that_is_the_md5_of_its_question_is_a_uuid_too():
    """As in files that this project wrote: the message must not say that there is no uuid."""
    uuid = Sample(("q?",)).uuid
    with pytest.raises(UsageError, match=f"row 2: column 'uuid' .* '{uuid}' is that of row 1"):
        refuse_duplicates(
            [(Row("f", n, {"uuid": uuid}), Sample(("q?",), ("a",), uuid)) for n in (1, 2)],
            {hash(uuid)},
        )


def test_a_hundred_thousand_uuids_take_about_two_megabytes():
    texts = [f"u-{number}" for number in range(100_000)]
    tracemalloc.start()
    try:
        hashes = UuidHashes()
        for text in texts:
            hashes.add(text)
        assert hashes.repeated_hashes() == set()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2_500_000
