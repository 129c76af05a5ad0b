"""The tokens that `benchmarks.sharing` counts are those that an engine computes."""

import json

import pytest

from benchmarks.sharing import main
from benchmarks.workload import Workload

QUESTIONS = ("who wrote it?", "who wrote the other one?", "where is it?")


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "questions.jsonl"
    rows = ({"question": question, "answers": ["x"]} for question in QUESTIONS)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_it_counts_what_the_engine_prefills(document, small_model):
    (row,) = document(main, "--samples", 7, "--model", small_model)["rows"]
    workload = Workload(model=small_model)
    engine = workload.loaded_engine().engine
    stats = engine.run(workload.questions(7), workload.request("per_prompt")).stats
    assert row["computed"] == stats.prefill_tokens < row["after the examples"] < row["tokens"]
    assert (row["samples"], row["paraphrases"]) == (7, 35)
    assert row["of those after"] == pytest.approx(row["computed"] / row["after the examples"])


def test_files_are_read_as_the_producer_reads_them(document, small_model, file):
    rows = document(main, "--samples", 2, "--model", small_model, "--file", f"webqa={file}")[
        "rows"
    ]
    assert [(row["data set"], row["samples"], row["paraphrases"]) for row in rows] == [
        ("the benchmarks' own", 2, 10), ("webqa", 2, 2),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "message"),
    [("questions.jsonl", "--file takes DATASET=FILE"), ("webqa=nowhere.jsonl", "nowhere.jsonl")],
)
def test_what_is_no_file_is_refused_in_a_sentence(run, small_model, value, message):
    result = run(main, "--samples", 1, "--model", small_model, "--file", value)
    assert result.exit_code == 1
    assert message in result.output
    assert "Traceback" not in result.output
