"""common.store.snapshot: what the hash depends on, batches of bounded size, whole or nothing."""

from dataclasses import replace

import pytest

from common.records import Sample
from common.schema import input_schema
from common.store import snapshot
from common.store.snapshot import SNAPSHOT_BATCH_ROWS, SnapshotWriter
from tests.common.storekit import all_files, make_samples

SAMPLES = make_samples(7, paraphrases=3)


def write_snapshot(store, samples, path="input.arrow"):
    with SnapshotWriter(store, path) as writer:
        for sample in samples:
            writer.add(sample)
    return writer


def batch_lengths(store, path="input.arrow"):
    reader = store.open_arrow(path)
    return [len(reader.get_batch(i)) for i in range(reader.num_record_batches)]


def test_samples_come_back_as_they_went_in(any_store):
    writer = write_snapshot(any_store, SAMPLES)
    table = any_store.open_arrow("input.arrow").read_all()
    assert table.schema.equals(input_schema(SAMPLES[0]))
    rows = [
        Sample(tuple(r["paraphrases"]), tuple(r["answers"]), r["uuid"]) for r in table.to_pylist()
    ]
    assert rows == SAMPLES
    assert writer.num_samples == 7


@pytest.mark.parametrize("size", [1, 3, 7, 8])
def test_the_hash_does_not_depend_on_batches(store, monkeypatch, size):
    expected = write_snapshot(store, SAMPLES).sha256
    monkeypatch.setattr(snapshot, "SNAPSHOT_BATCH_ROWS", size)
    assert write_snapshot(store, SAMPLES).sha256 == expected
    assert max(batch_lengths(store)) == min(size, 7)


@pytest.mark.parametrize(
    "other",
    [
        SAMPLES[::-1],
        SAMPLES[:6],
        [*SAMPLES, SAMPLES[0]],
        [replace(SAMPLES[0], uuid="other"), *SAMPLES[1:]],
        [Sample(SAMPLES[0].paraphrases[:2], SAMPLES[0].answers, "id0"), *SAMPLES[1:]],
        [Sample(SAMPLES[0].paraphrases, ("x", "gold 0"), "id0"), *SAMPLES[1:]],
    ],
    ids=["order", "fewer", "more", "uuid", "paraphrases", "order of answers"],
)
def test_the_hash_changes_with_content_and_order(store, other):
    assert write_snapshot(store, other).sha256 != write_snapshot(store, SAMPLES).sha256


def test_the_hash_tells_where_one_text_ends_and_the_next_begins(store):
    pairs = [("ab", "c"), ("a", "bc"), ("abc",), ("abc", ""), ('a","b', "c")]
    hashes = {
        write_snapshot(store, [Sample(paraphrases, ("x",), "u")]).sha256 for paraphrases in pairs
    }
    assert len(hashes) == len(pairs)


def test_samples_are_written_a_batch_at_a_time(store):
    write_snapshot(store, make_samples(2 * SNAPSHOT_BATCH_ROWS + 13))
    assert batch_lengths(store) == [SNAPSHOT_BATCH_ROWS, SNAPSHOT_BATCH_ROWS, 13]


def test_no_more_than_a_batch_is_held_in_memory(store, small_batches):
    with SnapshotWriter(store, "input.arrow") as writer:
        waiting = []
        for sample in make_samples(11):
            writer.add(sample)
            waiting.append(len(writer._rows))
    assert waiting == [1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3]
    assert batch_lengths(store) == [4, 4, 3]


@pytest.mark.parametrize("count", [1, 5])
def test_an_exception_while_samples_come_leaves_nothing(any_store, small_batches, count):
    def stop_in_the_middle():
        with SnapshotWriter(any_store, "input.arrow") as writer:
            for sample in make_samples(count):
                writer.add(sample)
            raise RuntimeError("the source broke")

    with pytest.raises(RuntimeError, match="the source broke"):
        stop_in_the_middle()
    assert all_files(any_store) == []


def test_an_exception_while_the_last_samples_are_written_leaves_nothing(any_store, monkeypatch):
    """As when the disk is full at the end: the last batch is written as the block ends."""

    def no_space(*_):
        raise OSError(28, "No space left on device")

    def write_on_a_full_disk():
        with SnapshotWriter(any_store, "input.arrow") as writer:
            writer.add(SAMPLES[0])
            monkeypatch.setattr(SnapshotWriter, "_flush", no_space)

    with pytest.raises(OSError, match="No space left") as error:
        write_on_a_full_disk()
    # The exception is still referenced: nothing is left to the garbage collector.
    assert error.value.errno == 28
    assert all_files(any_store) == []


def test_without_samples_there_are_no_columns_and_nothing_to_read(store):
    """The first sample decides the columns; a run without samples cannot be made."""
    assert write_snapshot(store, []).num_samples == 0
    assert store.read_bytes("input.arrow") == b""
