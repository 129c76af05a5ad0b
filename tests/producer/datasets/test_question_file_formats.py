"""producer.datasets.readers.formats: every kind of file gives the same rows, compressed or not."""

import gzip
import json
import os
import warnings

import pyarrow as pa
import pytest
from pyarrow import feather, parquet

from common.errors import UsageError
from common.records import Sample
from producer.datasets.readers.formats import read_rows
from tests.producer.datasets.filekit import (
    peak_of_reading,
    read_samples,
    refusals_of_flipped_bytes,
)

ROWS = [
    {"question": "who wrote\nhamlet, the play?", "answer": "he", "paraphrase0": 'by "whom"?'},
    {"question": "où est 東京?", "answer": "là", "paraphrase0": "où donc?"},
    {"question": "q?", "answer": "7", "paraphrase0": None},
]
SAMPLES = [
    Sample(("who wrote\nhamlet, the play?", 'by "whom"?'), ("he",)),
    Sample(("où est 東京?", "où donc?"), ("là",)),
    Sample(("q?",), ("7",)),
]
COMMA = (
    'question,answer,paraphrase0\r\n"who wrote\nhamlet, the play?",he,"by ""whom""?"\r\n'
    "où est 東京?,là,où donc?\r\n\r\nq?,7,\r\n"
)
TAB = (
    'question\tanswer\tparaphrase0\n"who wrote\nhamlet, the play?"\the\t"by ""whom""?"\n'
    "où est 東京?\tlà\toù donc?\nq?\t7\t\n"
)


def parquet_bytes(table):
    sink = pa.BufferOutputStream()
    parquet.write_table(table, sink, row_group_size=2)
    return sink.getvalue().to_pybytes()


def feather_bytes(table, **options):
    sink = pa.BufferOutputStream()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        feather.write_feather(table, sink, **options)
    return sink.getvalue().to_pybytes()


def arrow_bytes(table, writer=pa.ipc.new_stream):
    sink = pa.BufferOutputStream()
    with writer(sink, table.schema) as file:
        file.write_table(table, max_chunksize=2)
    return sink.getvalue().to_pybytes()


TABLE = pa.Table.from_pylist(ROWS)
JSON = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS).encode()
CONTENTS = {
    "lines.jsonl": JSON,
    "mark.jsonl": b"\xef\xbb\xbf" + JSON,
    "table.parquet": parquet_bytes(TABLE),
    "two.feather": feather_bytes(TABLE),
    "two-uncompressed.feather": feather_bytes(TABLE, compression="uncompressed"),
    "one.feather": feather_bytes(TABLE, version=1),
    "file.arrow": arrow_bytes(TABLE, pa.ipc.new_file),
    "stream.arrow": arrow_bytes(TABLE),
    "stream.feather": arrow_bytes(TABLE),
    "comma.csv": COMMA.encode(),
    "mark.csv": b"\xef\xbb\xbf" + COMMA.encode(),
    "tab.TSV": TAB.encode(),
}


def compressed(content, codec):
    return (
        gzip.compress(content) if codec == "gzip" else pa.compress(content, "zstd", asbytes=True)
    )


def complaint(path):
    with pytest.raises(UsageError) as refused:
        list(read_samples(path))
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize("name", CONTENTS)
@pytest.mark.parametrize("codec", [None, "gzip", "zstd"])
@pytest.mark.parametrize("says_so", [True, False], ids=["named", "by content"])
def test_every_format_gives_the_same_samples_compressed_or_not(tmp_path, name, codec, says_so):
    """A name that ends in .gz over plain bytes is what a transfer leaves that decompresses."""
    ending = {"gzip": ".gz", "zstd": ".zst", None: ".gz"}[codec] if says_so else ""
    path = tmp_path / f"{name}{ending}"
    path.write_bytes(compressed(CONTENTS[name], codec) if codec else CONTENTS[name])
    assert list(read_samples(path)) == SAMPLES


@pytest.mark.parametrize("codec", ["gzip", "zstd"])
def test_a_file_compressed_in_several_pieces_is_read_to_its_end(tmp_path, codec):
    """As `cat a.gz b.gz` and parallel compressors write them."""
    path = tmp_path / "q.jsonl"
    path.write_bytes(
        b"".join(compressed(JSON[n : n + 50], codec) for n in range(0, len(JSON), 50))
    )
    assert list(read_samples(path)) == SAMPLES


def test_a_zstandard_file_may_begin_with_a_frame_to_be_skipped(tmp_path):
    path = tmp_path / "q.jsonl.zst"
    path.write_bytes(b"\x50\x2a\x4d\x18\x04\0\0\0abcd" + compressed(JSON, "zstd"))
    assert list(read_samples(path)) == SAMPLES


@pytest.mark.parametrize("name", ["lines.jsonl", "table.parquet", "comma.csv"])
@pytest.mark.parametrize("codec", ["gzip", "zstd"])
def test_a_compressed_file_that_was_cut_off_is_refused(tmp_path, name, codec):
    path = tmp_path / name
    path.write_bytes(compressed(CONTENTS[name] * 9, codec)[:-6])
    assert f"is no {codec} file, or a damaged one" in complaint(path)


@pytest.mark.parametrize("cut", [8, 9, 40, 200])
def test_an_arrow_stream_that_was_cut_off_is_refused(tmp_path, cut):
    """Cut after a batch it would pass for a shorter stream: 8 bytes are its mark of the end."""
    path = tmp_path / "q.arrow"
    path.write_bytes(CONTENTS["stream.arrow"][:-cut])
    assert "or a damaged one" in complaint(path)


@pytest.mark.parametrize("kind", ["noise in the metadata", "cut off"])
def test_a_damaged_feather_file_of_the_first_kind_ends_no_process(tmp_path, kind):
    """pyarrow itself ends with a segmentation fault over the first of them."""
    path, content = tmp_path / "q.feather", bytearray(CONTENTS["one.feather"])
    if kind == "cut off":
        content = content[:-9]
    else:
        content[-263:-252] = b"\xff" * 11
    path.write_bytes(content)
    assert "or a damaged one" in complaint(path)


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("stream.arrow", None), ("file.arrow", None), ("comma.csv", None), ("lines.jsonl", None),
        ("stream.arrow", "zstd"), ("comma.csv", "gzip"), ("lines.jsonl", "zstd"),
    ],
)  # fmt: skip
def test_a_file_with_flipped_bytes_is_read_or_refused_and_never_a_traceback(tmp_path, name, codec):
    good = compressed(CONTENTS[name], codec) if codec else CONTENTS[name]
    assert refusals_of_flipped_bytes(tmp_path / name, good) > 5


def test_the_rows_of_separated_values_are_counted_as_lines_of_the_file(tmp_path):
    path = tmp_path / "q.csv"
    path.write_bytes(COMMA.encode())
    assert [row.number for row in read_rows(path)] == [2, 4, 6]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("question,answer\nq?,a\nq?,a,b\n", "row 3: has 3 cells, the header 2; put cells"),
        ("question,answer\nq?\n", "row 2: has 1 cells, the header 2"),
        ('question,answer\nq?,a\n"q?,a\n', "row 3: not separated values"),
        ('question,answer\n"q"?,a\n', "row 2: not separated values"),
        ("question,answer,answer\nq?,a,b\n", "is under a name that two columns have; rename one"),
        ("question;answer\nq?;a\n", "is missing; the row has 'question;answer'"),
        ("question,answer\nq?,\n", "row 2: column 'answer' must be"),
        ("question,answer\n", "has no rows"),
        ("", "has no rows"),
    ],
)
def test_separated_values_that_do_not_fit_are_refused_by_line(tmp_path, content, reason):
    path = tmp_path / "q.csv"
    path.write_text(content)
    assert reason in complaint(path)


def test_a_quotation_mark_that_is_never_closed_does_not_fill_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("producer.datasets.readers.text_files.LARGEST_CELL", 999)
    path = tmp_path / "q.csv"
    path.write_text('question,answer\n"q?,a\n' + "q?,a\n" * 5000)
    assert "row 2: not separated values (field larger" in complaint(path)


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_utf_16_is_refused_by_name(tmp_path, suffix):
    path = tmp_path / f"q.{suffix}"
    path.write_text("question,answer\nq?,a\n", encoding="utf-16")
    assert "row 1: not UTF-8 but UTF-16; save the file as UTF-8" in complaint(path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("q.jsonl", b'{"question": "caf\xe9?", "answer": "a"}'),
        ("q.csv", b"question,answer\ncaf\xe9?,a\n"),
    ],
)
def test_bytes_that_are_no_utf_8_are_named_in_the_column_that_is_read(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    assert "not UTF-8 in column 'question', which holds 'caf\\udce9?'" in complaint(path)


HUGE = b"9" * 5000
NOT_READ = [
    b'{"question": "q?", "answer": "a", "n": ' + HUGE + b"}\n",
    b'{"question": "q?", "answer": "a", "n": "caf\xe9"}\n',
    b'{"question": "q?", "answer": "a", "n": "\\ud800"}\n',
    b'{"question": "q?", "answer": "a", "n": [NaN, Infinity, 1e999, ""]}\n',
]


@pytest.mark.parametrize("line", NOT_READ, ids=["huge", "bytes", "surrogate", "numbers"])
def test_a_value_that_nobody_reads_refuses_no_line(tmp_path, line):
    path = tmp_path / "q.jsonl"
    path.write_bytes(line)
    assert list(read_samples(path)) == [Sample(("q?",), ("a",))]


ODD_COLUMNS = {
    "bytes": pa.array([b"caf\xe9"], pa.binary()).view(pa.string()),
    "nanoseconds": pa.array([1], pa.timestamp("ns")),
    "year": pa.array([-(10**15)], pa.timestamp("s")),
    "zone": pa.array([0], pa.timestamp("s", tz="Nowhere/City")),
}


@pytest.mark.parametrize(
    ("write", "column"),
    [
        *[(arrow_bytes, name) for name in ODD_COLUMNS],
        *[(feather_bytes, name) for name in ODD_COLUMNS],
        *[(parquet_bytes, name) for name in ODD_COLUMNS if name != "year"],  # has no such years
    ],
)
def test_a_value_that_nobody_reads_refuses_no_table(tmp_path, column, write):
    path = tmp_path / ("q.parquet" if write is parquet_bytes else "q.arrow")
    table = pa.table({"question": ["q?"], "answer": ["a"], column: ODD_COLUMNS[column]})
    path.write_bytes(write(table))
    assert list(read_samples(path)) == [Sample(("q?",), ("a",))]


def test_a_column_that_cannot_be_read_is_named_where_it_is_asked_for(tmp_path):
    path = tmp_path / "q.parquet"
    path.write_bytes(parquet_bytes(pa.table({"question": ODD_COLUMNS["bytes"], "answer": ["a"]})))
    assert "(column 'question') file, or a damaged one: Invalid" in complaint(path)


def test_a_column_that_is_there_twice_is_refused_where_it_is_asked_for(tmp_path):
    path = tmp_path / "q.arrow"
    table = pa.table([["q?"], ["a"], ["b"]], names=["question", "answer", "answer"])
    path.write_bytes(arrow_bytes(table))
    assert "is under a name that two columns have; rename one" in complaint(path)


@pytest.mark.parametrize("name", ["q.csv", "q.arrow"])
def test_a_column_that_is_there_twice_refuses_nothing_where_nobody_reads_it(tmp_path, name):
    path, names = tmp_path / name, ["question", "answer", "x", "x"]
    table = pa.table([["q?"], ["a"], ["b"], ["c"]], names=names)
    path.write_bytes(b"question,answer,x,x\nq?,a,b,c\n" if ".csv" in name else arrow_bytes(table))
    assert list(read_samples(path)) == [Sample(("q?",), ("a",))]


def test_a_name_that_is_no_utf_8_is_read_too(tmp_path):
    folder = os.fsdecode(os.fsencode(str(tmp_path)) + b"/caf\xe9")
    os.mkdir(folder)
    for name in ("lines.jsonl", "table.parquet", "stream.arrow", "one.feather", "file.arrow"):
        with open(f"{folder}/{name}", "wb") as file:
            file.write(CONTENTS[name])
        assert list(read_samples(tmp_path.joinpath(folder, name))) == SAMPLES


@pytest.mark.parametrize("suffix", [".jsonl.gz", ".csv.zst", ".csv"])
def test_a_long_compressed_file_is_never_in_memory_as_a_whole(tmp_path, suffix):
    """20,000 questions of 200 bytes."""
    rows, path = 20_000, tmp_path / f"q{suffix}"
    if suffix.startswith(".csv"):
        content = b"question,answer\n" + (b"q" * 200 + b"," + b"a" * 50 + b"\n") * rows
    else:
        content = (json.dumps({"question": "q" * 200, "answer": "a" * 50}) + "\n").encode() * rows
    codec = {"gz": "gzip", "zst": "zstd"}.get(suffix.rpartition(".")[2])
    path.write_bytes(compressed(content, codec) if codec else content)
    del content
    assert peak_of_reading(path, rows) < rows * 200 / 2
