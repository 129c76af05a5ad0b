"""common.store.snapshot: a damaged input.arrow is one sentence, for whoever reads it."""

import io

import pyarrow as pa
import pytest

from common.errors import UsageError
from common.store import merge_run
from tests.common.storekit import make_run, put_part


def rewritten(content, change):
    """The Arrow file with other batches."""
    reader = pa.ipc.open_file(content)
    table = change(reader.read_all())
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


DAMAGES = {
    "empty": lambda content: b"",
    "cut": lambda content: content[:-20],
    "zeros": lambda content: b"\0" * len(content),
    "no frame": lambda content: content.replace(b"\x28\xb5\x2f\xfd", b"\0\0\0\0"),
    "offsets": lambda content: overwritten(content, len(content) // 2),
    "rows missing": lambda content: rewritten(content, lambda table: table.slice(0, 3)),
    "no rows": lambda content: rewritten(content, lambda table: table.slice(0, 0)),
    "other columns": lambda content: rewritten(content, lambda table: table.select(["uuid"])),
}


def overwritten(content, at):
    return content[:at] + b"\xff" * 8 + content[at + 8 :]


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("read", ["samples", "merge"])
def test_whoever_reads_a_damaged_snapshot_is_told_which_file(any_store, damage, read):
    run = make_run(any_store, 7)
    put_part(run, range(7))
    path = run.file("input.arrow")
    any_store.write_bytes(path, DAMAGES[damage](any_store.read_bytes(path)))
    with pytest.raises(UsageError, match=r"origin/input\.arrow is not (a|the) whole") as refused:
        run.read_samples(range(7)) if read == "samples" else merge_run(run)
    assert "\n" not in str(refused.value)
