"""A method that lacks data has an error; other methods and samples are answered."""

import pytest

from common.errors import SampleError
from common.methods import METHODS
from common.records import Sample
from tests.worker.engine.answers import answers_of
from tests.worker.engine.families import MANY, SAMPLES, make_request

WEIGHTED = [name for name, method in METHODS.items() if method.reads_confidences]
CROSS = "flex_attention_cross_manual"
EVERYTHING = Sample(SAMPLES[0], num_manual=2, confidences=(0.3, 0.9, 0.1), uuid="id")


def answered(outcome):
    return {name for name, answer in outcome.items() if not isinstance(answer, SampleError)}


def test_a_question_of_which_all_is_known_is_answered_by_every_method(make_engine):
    (outcome,) = answers_of(make_engine(), [EVERYTHING], make_request(*METHODS))
    assert answered(outcome) == set(METHODS)


@pytest.mark.parametrize("confidences", [None, (), (0.5,), (0.5, 0.5)])
def test_too_few_confidences_are_an_error_of_the_weighted_methods_alone(make_engine, confidences):
    question = Sample(SAMPLES[0], num_manual=2, confidences=confidences)
    (outcome,) = answers_of(make_engine(), [question], make_request(*METHODS))
    assert set(METHODS) - answered(outcome) == set(WEIGHTED)
    for name in WEIGHTED:
        assert f"it has {len(confidences or ())} confidences, not 3" in str(outcome[name])


def test_unknown_manual_paraphrases_are_an_error_of_cross_manual_alone(make_engine):
    question = Sample(SAMPLES[0], confidences=(0.5,) * 3)
    (outcome,) = answers_of(make_engine(), [question], make_request(*METHODS))
    assert set(METHODS) - answered(outcome) == {CROSS}
    assert "does not tell which paraphrases are manual" in str(outcome[CROSS])


def test_no_manual_paraphrase_is_something_known(make_engine):
    (outcome,) = answers_of(make_engine(), [Sample(SAMPLES[0], num_manual=0)], make_request(CROSS))
    assert answered(outcome) == {CROSS}


def test_confidences_of_the_paraphrases_that_are_read_are_enough(make_engine):
    question = Sample(SAMPLES[0], confidences=(0.5, 0.25))
    request = make_request(*WEIGHTED, num_paraphrases=2)
    (outcome,) = answers_of(make_engine(), [question], request)
    assert answered(outcome) == set(WEIGHTED)


@pytest.mark.parametrize("number", [1, 2])
def test_fewer_paraphrases_than_asked_for_are_answered(make_engine, number):
    """Methods answer as if the number of paraphrases that are there had been requested."""
    engine = make_engine()
    few = Sample(SAMPLES[0][:number], num_manual=1, confidences=(0.5,) * number)
    (outcome,) = answers_of(engine, [few], make_request(*METHODS))
    assert [outcome] == answers_of(engine, [few], make_request(*METHODS, num_paraphrases=number))
    assert answered(outcome) == set(METHODS)
    assert len(outcome["per_prompt"]) == len(outcome["majority"]) == number


def test_a_question_without_any_paraphrase_is_an_error_of_every_method(make_engine):
    (outcome,) = answers_of(make_engine(), [()], make_request(*METHODS))
    assert answered(outcome) == set()
    assert {str(error) for error in outcome.values()} == {"it has no paraphrase"}


def test_what_one_sample_lacks_its_neighbours_do_not(make_engine):
    engine, request = make_engine(), make_request("weighted_avg", CROSS, "origin")
    poor = [Sample(paraphrases) for paraphrases in MANY[:2]]
    outcomes = answers_of(engine, [poor[0], EVERYTHING, poor[1]], request)
    assert [answered(outcome) for outcome in outcomes] == [
        {"origin"},
        {"weighted_avg", CROSS, "origin"},
        {"origin"},
    ]
    alone = answers_of(engine, [EVERYTHING], request)[0]
    assert {name: answer[0].tokens for name, answer in outcomes[1].items()} == {
        name: answer[0].tokens for name, answer in alone.items()
    }


def test_an_error_does_not_depend_on_the_methods_asked_with(make_engine):
    engine = make_engine()
    alone = [
        answers_of(engine, [MANY[0]], make_request(name))[0][name] for name in (*WEIGHTED, CROSS)
    ]
    (together,) = answers_of(engine, [MANY[0]], make_request(*WEIGHTED, CROSS, "avg"))
    assert [str(e) for e in alone] == [str(together[name]) for name in (*WEIGHTED, CROSS)]
