"""producer.scoring.score: runs that cannot be scored, and files that stay whole when it fails."""

import errno
import io
import sys
from contextlib import contextmanager

import pytest

from common.errors import UsageError
from common.store import StoreFilesystem, merge_run, verify_run
from producer.scoring import lemmas, score
from producer.scoring.score import score_run, score_runs
from tests.common.storekit import all_files, make_run, put_part, read_feather


@pytest.fixture
def run(store):
    run = make_run(store, 7)
    put_part(run, range(7), failed=[3])
    merge_run(run)
    return run


def content(run):
    return run.store.read_bytes(run.feather)


def damaged(store):
    run = make_run(store, 7, name="damaged")
    put_part(run, range(7))
    merge_run(run)
    store.write_bytes(run.feather, content(run)[:-99])
    return run


def without_manifest(store):
    run = make_run(store, 7, name="without_manifest")
    store.write_bytes(run.feather, b"")
    return run


def step(store, method):
    run = make_run(store, 3, name=f"{method}-5", method=method, num_paraphrases=5)
    merge_run(run, partial=True)
    return run


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda s: make_run(s, 3, name="new"), r"new is not merged.*producer merge quiz/\S+/new"),
        (lambda s: step(s, "paraphrases"), r"paraphrases-5 is a step \(paraphrases\)"),
        (lambda s: step(s, "confidence"), r"confidence-5 is a step \(confidence\)"),
        (damaged, r"damaged\.feather is not a whole Arrow file"),
        (without_manifest, r"without_manifest\.feather is not a whole Arrow file"),
    ],
    ids=["not merged", "paraphrases", "confidence", "damaged", "empty"],
)
def test_a_bad_run_is_refused_before_the_run_before_it_is_touched(store, run, make, message):
    bad = make(store)
    before = content(run), all_files(store)
    with pytest.raises(UsageError, match=message) as refused:
        score_runs([run, bad])
    assert "\n" not in str(refused.value)
    assert (content(run), all_files(store)) == before


def test_without_simplemma_nothing_is_touched(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "simplemma", None)
    lemmas._lemmatizer.cache_clear()
    before = content(run)
    with pytest.raises(UsageError, match="simplemma"):
        score_runs([run])
    assert content(run) == before


class FullDisk(io.RawIOBase):
    """A sink that takes some bytes and then no more."""

    def __init__(self, sink, left):
        self.sink, self.left = sink, left

    def writable(self):
        return True

    def write(self, data):
        self.left -= len(data)
        if self.left < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return self.sink.write(data)


@pytest.mark.parametrize("left", [0, 13, 999, 4001])
def test_a_disk_that_fills_up_leaves_the_old_file_and_no_other(run, monkeypatch, left):
    whole = StoreFilesystem.write

    @contextmanager
    def write(self, relative):
        with whole(self, relative) as sink:
            yield FullDisk(sink, left)

    monkeypatch.setattr(StoreFilesystem, "write", write)
    before = content(run), all_files(run.store)
    with pytest.raises(OSError, match="No space left"):
        score_run(run)
    assert (content(run), all_files(run.store)) == before


def test_an_interrupt_in_the_middle_leaves_the_old_file_and_no_other(run, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(score, "token_f1", interrupt)
    before = content(run), all_files(run.store)
    with pytest.raises(KeyboardInterrupt):
        score_run(run)
    assert (content(run), all_files(run.store)) == before


def test_a_column_that_cannot_be_read_is_reported_with_the_file_and_what_to_do(run):
    """Each buffer is a zstd frame; without its first bytes no frame can be read."""
    bad = content(run).replace(b"\x28\xb5\x2f\xfd", b"\0\0\0\0")
    run.store.write_bytes(run.feather, bad)
    with pytest.raises(UsageError, match=r"origin\.feather cannot be read .*producer merge"):
        score_run(run)
    assert content(run) == bad


def test_a_file_merged_while_it_is_scored_is_kept(store, monkeypatch):
    """A partial file is scored while the last worker commits its part and merges the run."""
    run = make_run(store, 7)
    put_part(run, range(4))
    merge_run(run, partial=True)
    exact_match = score.exact_match

    def commit_and_match(prediction, answers):
        if read_feather(run).num_rows == 4:
            put_part(run, range(4, 7))
            merge_run(run)
        return exact_match(prediction, answers)

    monkeypatch.setattr(score, "exact_match", commit_and_match)
    with pytest.raises(UsageError, match="merged again while it was scored"):
        score_run(run)
    assert read_feather(run).num_rows == 7
    assert verify_run(run) == []
    assert score_run(run).rows == 7
