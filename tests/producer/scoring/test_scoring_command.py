"""`producer score`: what it shows, what it prints for scripts, and how it refuses."""

import json

import pytest

from common.store import StoreFilesystem, merge_run
from common.store.parts import write_part
from tests.common.storekit import (
    all_files,
    make_answer,
    make_info,
    make_run,
    put_part,
    read_feather,
)

RUN = "quiz/owner--model/origin"
OTHER = "quiz/owner--model/per_prompt-3"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SELF_ENSEMBLE_STORE", str(tmp_path / "runs"))
    return StoreFilesystem.open(str(tmp_path / "runs"))


@pytest.fixture
def run(folder):
    """Seven questions: 2 right, 5 with one of its two words right, 6 in another form, 3 failed."""
    run = make_run(folder, 7)
    answers = [make_answer(run, row, error="it broke" if row == 3 else None) for row in range(7)]
    for row, prediction in ((2, "Gold 2."), (5, "gold"), (6, "golds 6")):
        answers[row] = type(answers[row])(**vars(answers[row]) | {"prediction": prediction})
    write_part(run, make_info(run, range(7), failed=(3,)), answers)
    merge_run(run)
    return run


def cells(text, key):
    (row,) = [line for line in text.splitlines() if line.startswith(f"│ {key}")]
    return [cell.strip() for cell in row.strip("│").split("│")]


def test_it_shows_a_line_for_each_run_and_where_the_files_are(command, folder, run):
    other = make_run(folder, 5, name="per_prompt-3", method="per_prompt", num_paraphrases=3)
    put_part(other, range(5), failed=[4])
    merge_run(other)
    result = command("score", RUN, OTHER)
    assert (result.status, result.err) == (0, "")
    # F1 of `gold` and `gold 5` is 2/3, of `golds 6` and `gold 6` 1/2; lemmas of the latter match.
    assert cells(result.out, RUN) == [RUN, "7", "1", "14.3 %", "31.0 %", "28.6 %"]
    assert cells(result.out, OTHER) == [OTHER, "15", "3", "0.0 %", "0.0 %", "0.0 %"]
    assert result.out.splitlines()[-2:] == [run.feather_path, other.feather_path]
    assert read_feather(run)["correct_exact"].to_pylist() == [i == 2 for i in range(7)]


def test_json_is_one_list_with_the_same_figures_as_shares(command, run):
    result = command("score", RUN, "--json")
    (figures,) = json.loads(result.out)
    assert figures.pop("f1") == pytest.approx((1 + 2 / 3 + 1 / 2) / 7)
    assert figures == {
        "run": RUN, "rows": 7, "failed": 1, "exact": 1 / 7, "lemma": 2 / 7, "partial": False,
        "feather": run.feather_path,
    }  # fmt: skip


def test_scoring_again_says_the_same(command, run):
    assert command("score", RUN) == command("score", RUN)


def test_a_partial_run_is_shown_as_one(command, folder):
    run = make_run(folder, 7)
    put_part(run, [0, 5])
    merge_run(run, partial=True)
    assert cells(command("score", RUN).out, RUN)[1] == "2 (partial)"


def test_a_run_without_rows_is_shown_without_figures(command, folder):
    merge_run(make_run(folder, 3), partial=True)
    assert cells(command("score", RUN).out, RUN)[1:] == ["0 (partial)", "0", "-", "-", "-"]
    assert json.loads(command("score", RUN, "--json").out)[0]["exact"] is None


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("quiz/owner--model/avg-5", ["is not in the store", "producer runs"]),
        ("../a/b", ["letters, digits"]),
        ("webqa", ["dataset/model/name"]),
        (OTHER, ["is not merged", f"producer merge {OTHER}"]),
    ],
)
def test_a_bad_run_is_one_sentence_and_the_good_one_is_left_alone(
    command, folder, run, name, words
):
    make_run(folder, 5, name="per_prompt-3", method="per_prompt", num_paraphrases=3)
    before = folder.read_bytes(run.feather), all_files(folder)
    result = command("score", RUN, name)
    assert (result.status, result.out) == (2, "")
    assert result.err.startswith("error: ")
    assert result.err.count("\n") == 1
    assert all(word in result.err for word in words)
    assert (folder.read_bytes(run.feather), all_files(folder)) == before


def test_no_run_at_all_is_refused(command):
    result = command("score")
    assert result.status == 2
    assert "RUN" in result.err
