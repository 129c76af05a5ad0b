"""common.store.parts: parts that cannot be used are named, with what to do about them."""

from functools import partial
from pathlib import Path

import pyarrow as pa
import pytest

from common.errors import UsageError
from common.schema import PART_SCHEMA
from common.store import PartInfo, RunFolder, merge_run
from common.store.parts import part_path, read_infos
from tests.common.storekit import make_info, make_run, put_part


def read_every_info(run: RunFolder) -> list[PartInfo]:
    return list(read_infos(run))


def test_a_part_of_another_fingerprint_is_refused_and_both_are_shown(any_store):
    run = make_run(any_store, 7)
    path = put_part(run, range(3), fingerprint="f" * 64)
    for read in (read_every_info, partial(merge_run, partial=True)):
        with pytest.raises(UsageError) as refused:
            read(RunFolder(any_store, run.key))
        message = str(refused.value)
        assert any_store.path(path) in message
        assert f"fingerprint {'f' * 12}, the run has {run.record.fingerprint[:12]}" in message


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.9, 0.999])
def test_a_truncated_part_is_named_and_to_be_deleted(any_store, kept):
    run = make_run(any_store, 7)
    put_part(run, range(3))
    path = put_part(run, range(3, 6))
    whole = any_store.read_bytes(path)
    any_store.write_bytes(path, whole[: int(len(whole) * kept)])
    for read in (read_every_info, partial(merge_run, partial=True)):
        with pytest.raises(UsageError) as refused:
            read(run)
        assert str(refused.value).startswith(f"{any_store.path(path)} is not a whole part")
        assert "delete it and enqueue the run again" in str(refused.value)


@pytest.mark.parametrize(
    "metadata",
    [None, {b"self_ensemble.part": b'{"rows": [0]}'}, {b"self_ensemble.part": b"[]"}],
    ids=["none", "of another version", "nonsense"],
)
def test_an_arrow_file_that_does_not_say_what_it_holds_is_no_part(store, metadata):
    run = make_run(store, 7)
    path = Path(store.path(part_path(run, make_info(run, [0]))))
    path.parent.mkdir()
    with (
        pa.OSFile(str(path), "wb") as sink,
        pa.ipc.new_file(sink, pa.schema(PART_SCHEMA, metadata)),
    ):
        pass
    with pytest.raises(UsageError, match=path.name):
        read_every_info(run)


@pytest.mark.parametrize(
    "error", [PermissionError(13, "Permission denied"), TimeoutError(110, "timed out")], ids=str
)
def test_a_part_that_cannot_be_read_now_is_not_called_damaged(store, monkeypatch, error):
    """The network or the rights are at fault: deleting the part would lose good rows."""
    run = make_run(store, 7)
    path = put_part(run, range(3))

    def fail(*_):
        raise error

    monkeypatch.setattr("pyarrow.memory_map", fail)
    with pytest.raises((OSError, UsageError)) as raised:
        read_every_info(run)
    assert "delete" not in str(raised.value)
    assert store.exists(path)
