"""Rows and comparisons of a GPU day: what fails is a line, what differs is a figure."""

import doctest
import signal
import time

import pytest
import torch

from benchmarks.gpu_day import table
from benchmarks.gpu_day.stages import compare as comparison
from benchmarks.gpu_day.stages.compare import CheckedAnswer, compare
from benchmarks.gpu_day.stages.deadline import deadline
from benchmarks.gpu_day.stages.rows import Rows


@pytest.fixture
def lines():
    return []


@pytest.fixture
def rows(lines):
    return Rows(lines.append)


def fail(message):
    raise RuntimeError(message)


def test_a_row_has_its_figures_with_four_digits_that_count(rows, lines):
    rows.measure("copy", 9, lambda: {"GB/s": 1234.5678, "name": "x"})
    begin, line = lines
    assert begin == {"row": "copy", "event": "begin", "limit": 9}
    assert line["figures"] == {"GB/s": 1235.0, "name": "x"}


def test_a_row_that_fails_says_where_and_the_next_one_follows(rows, lines):
    assert rows.build("model", 9, fail, "no kernel image") is None
    rows.measure("copy", 9, lambda: {"GB/s": 1.0})
    _, failed, _, measured = lines
    assert failed["failed"] == "RuntimeError: no kernel image"
    assert failed["where"][-1].startswith("test_gpu_day_rows.py:")
    assert measured["figures"] == {"GB/s": 1.0}


def test_a_row_that_takes_too_long_is_broken_off(rows, lines):
    rows.measure("sleep", 0.05, lambda: time.sleep(30) or {})
    assert lines[-1]["failed"] == "not done after 0.05 s"
    assert lines[-1]["took"] < 20


def test_a_deadline_leaves_no_timer_behind():
    before = signal.getsignal(signal.SIGALRM)
    with deadline(50):
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 40
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert signal.getsignal(signal.SIGALRM) is before


def test_a_sick_device_ends_the_stage_after_its_row(rows, lines):
    with pytest.raises(SystemExit, match="takes no more work"):
        rows.measure("step", 9, fail, "CUDA error: an illegal memory access was encountered")
    assert "illegal memory access" in lines[-1]["failed"]


def answer(*tokens, changed=None):
    logits = torch.zeros(len(tokens), 2, 11)
    if changed is not None:
        logits[changed] = -0.25
    return CheckedAnswer(tokens, logits)


def test_equal_answers_are_equal_and_show_their_largest_difference():
    wanted = {("avg", 0, 0): answer(5, 6, 7), ("avg", 1, 0): answer(8, 9, 7)}
    got = {**wanted, ("avg", 1, 0): answer(8, 9, 7, changed=2)}
    assert compare(got, wanted) == {
        "equal": True, "answers": 2, "unequal": 0, "logit difference": 0.25,
    }  # fmt: skip


def test_an_unequal_answer_shows_its_first_token_that_differs():
    wanted = {("avg", 0, 0): answer(5, 6, 7), ("max", 1, 0): answer(8, 9, 7)}
    got = {**wanted, ("max", 1, 0): answer(8, 4, 3, changed=2)}
    figures = compare(got, wanted)
    assert not figures["equal"]
    assert figures["first"] == "max, question 1, answer 0, token 1: 4 instead of 9"
    # The logits of the third token have another past, and are not compared.
    assert figures["logit difference"] == 0.0


def test_an_answer_that_is_cut_short_is_unequal():
    figures = compare({("avg", 0, 0): answer(5)}, {("avg", 0, 0): answer(5, 6)})
    assert figures["first"].endswith("token 1: the end instead of 6")


def test_the_examples_of_comparing_are_true():
    failed, attempted = doctest.testmod(comparison)
    assert (failed, attempted) == (0, 3)


@pytest.mark.parametrize(
    ("lines", "status", "verdict"),
    [
        (
            [{"stage": "check_flex", "row": "flex, concat", "figures": {"equal": False}},
             {"stage": "flex", "row": "model", "failed": "RuntimeError: no"}],
            table.UNEQUAL,
            "NOT EQUAL to the reference: check_flex: flex, concat. without a result: flex: model",
        ),
        (
            [{"stage": "check_flex", "row": "flex, concat", "figures": {"equal": True}},
             {"stage": "flex", "row": "model", "event": "killed", "reason": "killed after 9 s"}],
            table.FAILED,
            "without a result: flex: model",
        ),
        (
            [{"stage": "probe", "row": "copy", "figures": {"GB/s": 3000.0}},
             {"stage": "probe", "event": "done"}],
            table.EQUAL,
            "every check is equal and every row has its figures",
        ),
    ],
)  # fmt: skip
def test_the_exit_status_tells_unequal_from_failed_from_good(lines, status, verdict):
    assert (table.status(lines), table.verdict(lines)) == (status, verdict)


def test_the_table_shows_predictions_beside_what_was_measured(capsys):
    row = {"stage": "probe", "row": "copy", "took": 1.0, "figures": {"GB/s": 2875.5, "more": [1]}}
    table.show([row])
    (line,) = (each for each in capsys.readouterr().out.splitlines() if "copy" in each)
    assert "GB/s 2,876" in line
    assert "3,000 GB/s" in line
    assert "more" not in line
    table.show([{"stage": "all", "tiny": True}, row])
    assert "3,000 GB/s" not in capsys.readouterr().out
