"""`producer report`: the terminal, the JSON document, the page."""

import json
import sys
from types import ModuleType

import pytest

from common.store import StoreFilesystem
from producer.report.document import Document
from tests.common.storekit import make_answer
from tests.producer.report.reportkit import answered, begin, finish, per_paraphrase

MODEL = "quiz/owner--model"
SAID = [[("gold 0", -1.0), ("[b]x", -1.0), None]] + [[("no", -1.0)] * 3] * 8


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """Nine questions: origin has 3 right; avg-3 has 5 right and failed on 7."""
    monkeypatch.setenv("SELF_ENSEMBLE_STORE", str(tmp_path / "runs"))
    store = StoreFilesystem.open(str(tmp_path / "runs"))
    answered(store, "origin", 9, {0, 1, 2})
    answered(store, "avg-3", 9, {0, 1, 2, 3, 4}, failed={7})
    per_paraphrase(store, SAID)
    return [f"{MODEL}/{name}" for name in ("origin", "avg-3", "per_prompt-3")]


@pytest.fixture
def page(monkeypatch):
    """A page of one line, so that this test is of the command alone."""
    module = ModuleType("producer.report.page")
    module.render_page = lambda document: f"<title>{document.questions} é</title>"
    monkeypatch.setitem(sys.modules, "producer.report.page", module)


def line(text, start):
    (match,) = [row for row in text.splitlines() if row.strip().startswith(start)]
    return " ".join(match.split())


def test_the_terminal_shows_runs_comparisons_and_paraphrases(command, runs):
    result = command("report", *runs)
    assert (result.status, result.err) == (0, "")
    assert result.out.startswith("quiz, owner--model: 3 runs on 9 questions\n")
    assert line(result.out, "origin  ").startswith("origin 9 0 33.3 % [12.1,64.6] 33.3 % 18 - -")
    assert line(result.out, "avg-3  ").startswith("avg-3 9 1 55.6 % [26.7,81.1] 55.6 % 16 - -")
    assert "-22.2 [-55.6,+0.0] 0/2/7 0.500 0.500" in line(result.out, "origin - avg-3")
    assert line(result.out, "oracle").startswith("oracle: some paraphrase is right 11.1 %")
    assert line(result.out, "3  ").startswith("3 3.7 % 11.1 %")


def test_the_terminal_says_what_is_not_significant_and_what_failed(command, runs):
    out = command("report", *runs).out
    assert "- Not significant at 5 % after Holm over 1 comparison: origin and avg-3." in out
    assert "- avg-3 failed on id7: it broke" in out
    assert "- per_prompt-3 failed on id0: it broke" in out
    assert "Failed rows count as wrong." in out


def test_failures_past_five_are_counted(command, runs, tmp_path):
    answered(StoreFilesystem.open(str(tmp_path / "runs")), "max-3", 9, {0}, failed=range(1, 9))
    out = command("report", f"{MODEL}/max-3").out
    assert out.count("max-3 failed on id") == 5
    assert "max-3 failed on 3 more questions." in out


def test_figures_are_never_cut_off_in_a_narrow_terminal(command, runs, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    out = command("report", *runs).out
    assert "…" not in out
    assert "[26.7,81.1]" in out


def test_the_document_is_all_that_is_printed_and_can_be_read_back(command, runs):
    result = command("report", *runs, "--json")
    assert (result.status, result.err, result.out.count("\n")) == (0, "", 1)
    document = Document.model_validate_json(result.out)
    assert json.loads(document.model_dump_json()) == json.loads(result.out)
    assert result.out.isascii()
    assert json.loads(result.out)["runs"][0]["run"] == runs[0]


def test_the_document_holds_every_question(command, runs):
    document = Document.model_validate_json(command("report", *runs, "--json").out)
    first, *_, failed, _ = document.samples
    assert first.paraphrases == ("question 0.0?", "question 0.1?", "question 0.2?")
    assert first.answers == ("gold 0", "x")
    assert first.predictions == dict.fromkeys(runs[:2], "The gold 0!")
    assert (first.singles, first.singles_correct) == (("gold 0", "[b]x", ""), (True, False, False))
    assert first.errors == {runs[2]: "it broke"}
    assert [s.uuid for s in document.samples if s.flips] == ["id3", "id4"]
    assert (failed.uuid, failed.errors) == ("id7", {runs[1]: "it broke"})
    assert failed.predictions[runs[1]] is None
    assert failed.correct == {runs[0]: False, runs[1]: False}


def test_the_same_seed_gives_the_same_document_and_another_seed_another(command, runs):
    same = {command("report", *runs, "--json", "--seed", 5).out for _ in range(2)}
    assert len(same) == 1
    assert command("report", *runs, "--json", "--seed", 6).out not in same


def test_the_page_is_written_beside_the_tables(command, runs, page, tmp_path):
    file = tmp_path / "report.html"
    file.write_text("what was there before, and longer than what comes")
    result = command("report", *runs, "--html", file)
    assert (result.status, file.read_text(encoding="utf-8")) == (0, "<title>9 é</title>")
    assert result.out.endswith(f"page: {file}\n")
    assert [p.name for p in tmp_path.iterdir() if p.suffix != ""] == ["report.html"]


def test_with_json_the_page_is_written_and_not_spoken_of(command, runs, page, tmp_path):
    result = command("report", *runs, "--json", "--html", tmp_path / "report.html")
    Document.model_validate_json(result.out)
    assert (tmp_path / "report.html").exists()


def test_a_page_in_a_folder_that_is_not_there_is_refused(command, runs, page, tmp_path):
    result = command("report", *runs, "--html", tmp_path / "no" / "report.html")
    assert (result.status, result.out) == (2, "")
    assert "there is no folder" in result.err


def test_a_run_that_cannot_be_compared_leaves_no_page(command, runs, page, tmp_path):
    result = command("report", *runs, runs[0], "--html", tmp_path / "report.html")
    assert (result.status, result.out) == (2, "")
    assert result.err == f"error: run {runs[0]} is given twice; name each run once\n"
    assert not (tmp_path / "report.html").exists()


def test_without_its_libraries_the_command_says_what_to_install(command, runs, monkeypatch):
    monkeypatch.setitem(sys.modules, "statsmodels", None)
    result = command("report", *runs)
    assert (result.status, result.out) == (2, "")
    assert result.err == (
        "error: reports need statsmodels, which is not installed; "
        "pip install 'self-ensemble[report]'\n"
    )


def test_what_an_error_says_is_shown_as_it_is(command, runs, tmp_path):
    """Square brackets are markup to the library that prints, and plain text to us."""
    run = begin(StoreFilesystem.open(str(tmp_path / "runs")), "max-3", 1)
    finish(run, [make_answer(run, 0, error="[/b] out of [memory]")])
    assert "max-3 failed on id0: [/b] out of [memory]\n" in command("report", run.key).out
