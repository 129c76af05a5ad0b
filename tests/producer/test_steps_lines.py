"""producer.run_tables.steps_lines: what the steps came to, in a line each."""

from producer.run_tables import steps_lines
from tests.common.stepkit import finish_confidences, finish_paraphrases, make, plan, questions
from tests.common.storekit import make_run


def test_paraphrases_are_counted_and_those_that_stayed_wrong(store):
    (run,) = make(store, plan("paraphrases", num_paraphrases=5), samples=questions(7))
    finish_paraphrases(run, bad={2: "", 5: "what is 5?"})
    assert steps_lines([run]) == [
        "quiz/owner--model/paraphrases-5: 7 questions, 28 paraphrases written, 2 of them not good "
        "after all draws (column `problems`)"
    ]


def test_a_question_it_failed_on_has_no_paraphrases_written(store):
    (run,) = make(store, plan("paraphrases", num_paraphrases=5), samples=questions(7))
    finish_paraphrases(run, failed=[0, 3])
    assert "7 questions, 20 paraphrases written, 0 of them" in steps_lines([run])[0]


def test_confidences_are_averaged_over_paraphrases_that_have_one(store):
    (run,) = make(store, plan("confidence"), samples=questions(5, paraphrases=3))
    finish_confidences(run, failed=[1])
    # Rows 0, 2, 3, 4: (0 + .1 + .2) + (.2 + .3 + .4) + (.3 + .4 + .5) + (.4 + .5 + .6) = 3.9
    assert steps_lines([run]) == ["quiz/owner--model/confidence-3: mean confidence 0.33"]


def test_no_confidence_at_all_has_a_mean_of_nothing(store):
    (run,) = make(store, plan("confidence"), samples=questions(2, paraphrases=3))
    finish_confidences(run, failed=[0, 1])
    assert steps_lines([run]) == ["quiz/owner--model/confidence-3: no confidence was found"]


def test_runs_that_answer_have_no_line(store):
    assert steps_lines([make_run(store, 3)]) == []
