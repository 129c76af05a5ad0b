"""producer.run_tables: tables of runs with failed rows, odd texts and shared seconds."""

from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from common.run_activity import RunActivity, Stop
from common.run_state import state_of
from common.store import merge_run
from common.store.parts import write_part
from producer.cut_off import cut_off_lines
from producer.pace import Pace
from producer.run_tables import (
    answers_table,
    choices_lines,
    results_table,
    state_document,
    states_table,
)
from tests.common.storekit import (
    make_answer,
    make_info,
    make_run,
    put_part,
    put_parts_seconds_apart,
    shards,
)

COUNTS = {
    "prefill_tokens": 3000.0, "prefill_seconds": 2.0, "decode_tokens": 80.0, "decode_seconds": 3.0
}  # fmt: skip


def shown(table):
    console = Console(file=StringIO(), width=240)
    console.print(table)
    return console.file.getvalue()


def line(text, start):
    (row,) = [row for row in text.splitlines() if start in row]
    return [cell.strip() for cell in row.strip("│").split("│")]


@pytest.fixture
def merged(store):
    """Eleven rows: 0 and 5 right, 3 failed, the others wrong."""
    run = make_run(store, 11)
    for rows in shards(range(11), 6):
        answers = [make_answer(run, row, error="it broke" if row == 3 else None) for row in rows]
        for i, row in enumerate(rows):
            if row in (0, 5):
                answers[i] = make_predicted(run, row, f"the Gold {row}!")
        failed = tuple(set(rows) & {3})
        write_part(run, make_info(run, rows, failed=failed, counts=COUNTS), answers)
    merge_run(run)
    return run


def make_predicted(run, row, text):
    values = vars(make_answer(run, row)) | {"prediction": text}
    return type(make_answer(run, row))(**values)


def test_accuracy_and_speed_count_failed_rows_as_wrong(merged):
    text = shown(results_table([merged]))
    # 11 questions in 2 parts of 5 seconds; 2 x 3000 tokens in 4 s, 2 x 80 in 6 s.
    assert line(text, "origin") == ["origin", "11", "1", "18.2 %", "1.1", "1500", "27"]


def test_a_part_that_counted_nothing_gives_no_speed(store):
    run = make_run(store, 3)
    put_part(run, range(3), failed=range(3))
    merge_run(run)
    assert line(shown(results_table([run])), "origin") == ["origin", "3", "3", "0.0 %"] + 3 * ["-"]


def test_a_partial_run_without_rows_can_be_shown(store):
    run = make_run(store, 3)
    merge_run(run, partial=True)
    assert line(shown(results_table([run])), "origin")[1:4] == ["0", "0", "-"]
    assert "question" in shown(answers_table([run]))


def test_a_row_per_paraphrase_is_scored_by_itself(store):
    run = make_run(store, 5, name="per_prompt-3", method="per_prompt", num_paraphrases=3)
    put_part(run, range(5), failed=[4])
    merge_run(run)
    assert line(shown(results_table([run])), "per_prompt-3")[1:4] == ["15", "3", "0.0 %"]


def test_the_first_questions_are_shown_with_the_prediction_of_each_method(merged):
    text = shown(answers_table([merged], count=3))
    assert line(text, "question 0.0?") == ["question 0.0?", "gold 0 | x", "the Gold 0!"]
    assert "question 3.0?" not in text


def test_a_failed_row_is_shown_with_its_reason(merged):
    assert "it broke" in line(shown(answers_table([merged])), "question 3.0?")[2]


def test_an_answer_without_a_word_is_told_from_a_missing_one(store):
    run = make_run(store, 1)
    write_part(run, make_info(run, [0]), [make_predicted(run, 0, "")])
    merge_run(run)
    assert "empty" in line(shown(answers_table([run])), "question 0.0?")[2]


@pytest.mark.parametrize(
    "prediction", ["[/INST] Paris", "[bold]Paris", "[Paris]", "\\[x]", ":smile:"]
)
def test_what_a_model_says_is_shown_as_it_is(store, prediction):
    """Square brackets are markup to the library that prints, and plain text to us."""
    run = make_run(store, 1)
    write_part(run, make_info(run, [0]), [make_predicted(run, 0, prediction)])
    merge_run(run)
    assert line(shown(answers_table([run])), "question 0.0?")[2] == prediction


def test_runs_of_one_paraphrase_go_before_those_with_a_row_for_each(merged, store):
    other = make_run(store, 5, name="per_prompt-3", method="per_prompt", num_paraphrases=3)
    put_part(other, range(5))
    merge_run(other)
    assert "per_prompt" not in shown(answers_table([merged, other]))
    assert "per_prompt" in shown(answers_table([other]))


def test_progress_is_shown_and_written_alike(store):
    run = make_run(store, 7)
    put_parts_seconds_apart(run, 1.0, [0], [1, 2])
    state = state_of(run, RunActivity())
    document = state_document(state, store)
    cells = line(shown(states_table([state])), str(run.key))
    assert cells == [str(run.key), "running", "7", "1", "2", "4", "2.0/s", "2 s"]
    names = ("expected", "ok", "failed", "missing")
    assert [str(document[name]) for name in names] == cells[2:6]


def test_a_run_that_does_not_go_on_has_no_time_left(store):
    run = make_run(store, 7)
    put_parts_seconds_apart(run, 1.0, [0], [1, 2])
    state = state_of(run, RunActivity(Stop(reason="no weights", since=0.0, worker="gpu1")))
    assert line(shown(states_table([state])), str(run.key))[-2:] == ["2.0/s", "-"]


def test_samples_of_shards_at_work_are_shown_apart_from_those_in_the_store(store):
    run = make_run(store, 7)
    put_part(run, range(3))
    state = state_of(run, RunActivity(answered={"origin:3-6:4": 2}))
    assert line(shown(states_table([state])), str(run.key))[3] == "3+2"
    assert state_document(state, store)["answering"] == 2
    assert state_document(state_of(run, None), store)["answering"] is None


def test_a_watched_run_shows_its_own_pace(store):
    run, now = make_run(store, 100), [0.0]
    pace = Pace(lambda: now[0])
    for second, answered in enumerate((0, 4, 8)):
        now[0] = float(second)
        state = state_of(run, RunActivity(answered={"origin:0-63:64": answered}))
        pace.note(state.answering, state.is_at_work)
    cells = line(shown(states_table([state], pace)), str(run.key))
    assert cells[-2:] == ["4.0/s", "23 s"]


def test_every_choice_of_the_workers_is_shown_once_with_its_reason(store):
    run = make_run(store, 6)
    one = {"device": "cpu", "dtype": "float32"}, {"device": "no GPU", "dtype": "asked"}
    other = {"device": "cuda:0", "dtype": "float32"}, {"device": "one GPU", "dtype": "asked"}
    for rows, (choices, reasons) in (([0, 1], one), ([2], one), ([3, 4], other)):
        put_part(run, rows, choices=choices, reasons=reasons)
    assert choices_lines([run, run]) == [
        "device: cpu (no GPU)", "dtype: float32 (asked)", "device: cuda:0 (one GPU)"
    ]  # fmt: skip


def test_a_choice_without_a_reason_is_shown_too(store):
    run = make_run(store, 1)
    put_part(run, [0], choices={"device": "cpu"}, reasons={})
    (text,) = choices_lines([run])
    assert text.startswith("device: cpu")


def test_rows_that_were_cut_off_are_counted_for_each_run_with_what_to_do(store):
    run, other = make_run(store, 5, "avg-3"), make_run(store, 5, "max-3")
    ended = ["eos", "length", "stop:\n", None, "length"]
    for each, reasons in ((run, ended), (other, ["eos"] * 5)):
        answers = [
            replace(make_answer(each, row), finish_reason=reason)
            for row, reason in enumerate(reasons)
        ]
        write_part(each, make_info(each, range(5)), answers)
        merge_run(each)
    (line,) = cut_off_lines([run, other])
    assert line.startswith(f"{run.key}: 2 of 5 answers were cut off at 20 tokens (length); ")
    assert line.endswith("a larger --max-new-tokens lets them end")
