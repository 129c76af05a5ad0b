"""Rows of models that reason: predictions, votes, confidences and scores never see it."""

import pytest

from common.answer_text import exact_match
from common.records import Sample
from common.run import SamplingParams
from tests.worker.scripted import answers_of, make_spec, prompt_of
from worker.engine.answer_end import AnswerText
from worker.engine.outputs import Generation
from worker.results import RowMaker

SAMPLE = Sample(("who?", "which one?", "tell me who"), ("Ann",), "id-7")


def thought(reasoning, answer, logprob=-0.5):
    """A generation whose text is its tokens, with a mark between reasoning and answer."""
    tokens = tuple(map(ord, f"{reasoning}|{answer}"))
    return Generation(tokens, (logprob,) * len(tokens), "eos")


def text_of(tokens):
    whole = "".join(map(chr, tokens))
    reasoning, _, answer = whole.partition("|")
    return AnswerText(whole, reasoning.strip() or None, answer)


def rows(method, generations, **changes):
    spec = make_spec(method, **changes)
    outcome = answers_of(SAMPLE, {method: generations}, spec, text_of)
    return RowMaker(spec, prompt_of).rows(7, SAMPLE, outcome)


@pytest.mark.parametrize(
    ("reasoning", "answer", "prediction"),
    [("Is it Rome?\n", "\n\nAnn", "Ann"), ("Rome. Ann?", "", ""), ("", " Ann\n", "Ann")],
)
def test_the_prediction_is_taken_from_what_follows_the_reasoning(reasoning, answer, prediction):
    (row,) = rows("origin", [thought(reasoning, answer)], stop=())
    assert row.prediction == prediction
    assert row.reasoning == (reasoning.strip() or None)
    assert row.generation == f"{reasoning}|{answer}"


def test_a_gold_answer_in_the_reasoning_alone_is_no_right_answer():
    (wrong,) = rows("origin", [thought("Ann", "Rome")], stop=())
    (right,) = rows("origin", [thought("Rome", "Ann")], stop=())
    unended = rows("origin", [thought("Ann", "")], stop=())[0]
    scores = [exact_match(row.prediction, SAMPLE.answers) for row in (wrong, right, unended)]
    assert scores == [False, True, False]


def test_a_vote_does_not_see_reasoning():
    generations = [thought("a", "Rome", -0.9), thought("b", "Ann"), thought("c", "ann")]
    (row,) = rows("majority", generations, stop=())
    assert (row.prediction.lower(), [s.prediction for s in row.singles]) == (
        "ann",
        ["Rome", "Ann", "ann"],
    )


def test_confidence_compares_answers_without_reasoning():
    sampling = SamplingParams(temperature=1, top_p=1, num_draws=2)
    drawn = [thought("x", "Ann"), thought("y", "Ann"), thought("x", "Rome")]
    (row,) = rows("confidence", drawn, stop=(), sampling=sampling, num_paraphrases=1)
    assert (row.confidence, row.sampled, row.reasoning) == (0.5, ["Ann", "Rome"], "x")


def test_a_stop_string_in_the_reasoning_does_not_end_the_prediction():
    (row,) = rows("origin", [thought("one\ntwo\n", "Ann")], stop=("\n",))
    assert row.prediction == "Ann"
