"""What cannot be answered gets a SampleError in its place; its neighbours are answered."""

import re

import pytest
from families import SAMPLES, known, make_request, packed_prompts

from common.errors import SampleError

EMPTY = ("who?", " \n\t", "it?")
TOO_LONG = ("word " * 501, "b", "c")
TOO_FEW = ("who?", "it?")


def longest_prompt(tokenizer, request):
    prompts = [p for s in SAMPLES for p in packed_prompts(tokenizer, known(s), request)]
    return max(prompt.next_position for answer in prompts for prompt in answer)


def several(**changes):
    """A request for the methods that read every wording."""
    return make_request("per_prompt", "avg", "max", "flex_attention", **changes)


def failed(outcome):
    return all(isinstance(answers, SampleError) for answers in outcome.values())


def assert_error(outcome, message):
    assert failed(outcome)
    assert all(re.search(message, str(error)) for error in outcome.values())


@pytest.mark.parametrize("wordings", [EMPTY, ("who?", "", "it?"), ("who?", "", "")])
def test_an_empty_wording_is_an_error_that_names_it(make_engine, wordings):
    (outcome,) = make_engine().answer([wordings], several())
    assert_error(outcome, "wording 1 is empty")


@pytest.mark.parametrize("given", [0, 1, 2])
def test_fewer_wordings_than_asked_for_are_an_error(make_engine, given):
    request = several()
    (outcome,) = make_engine().answer([SAMPLES[0][:given]], request)
    assert_error(outcome, f"has {given} wordings, not 3")


@pytest.mark.parametrize("bad", [EMPTY, TOO_FEW, ("who?", "long " * 501, "it?")])
def test_a_method_that_reads_less_is_answered_whatever_it_is_asked_with(make_engine, bad):
    (alone,) = make_engine().answer([bad], make_request("origin"))
    (together,) = make_engine().answer([bad], make_request("origin", "avg"))
    assert together["origin"] == alone["origin"]
    assert not failed(alone)
    assert isinstance(together["avg"], SampleError)


def test_an_empty_wording_that_is_not_asked_for_does_not_matter(make_engine):
    request = make_request("origin", num_wordings=1)
    engine = make_engine()
    (answer,) = engine.answer([(SAMPLES[0][0], "")], request)
    assert [answer] == engine.answer(SAMPLES[:1], request)


@pytest.mark.parametrize("method", ["origin", "flex_attention"])
def test_prompt_and_answer_may_fill_the_model_but_not_more(make_engine, tokenizers, method):
    request = make_request(method)
    needed = longest_prompt(tokenizers[False], request) + request.max_new_tokens
    fits = make_engine(max_position_embeddings=needed)
    assert fits.answer(SAMPLES, request) == make_engine().answer(SAMPLES, request)
    outcomes = make_engine(max_position_embeddings=needed - 1).answer(SAMPLES, request)
    errors = [one for one in outcomes if failed(one)]
    assert errors
    for error in errors:
        assert_error(error, f"take {needed} positions, the model has {needed - 1}")


@pytest.mark.parametrize("layout", ["concat", "shared"])
@pytest.mark.parametrize("bad", [EMPTY, TOO_LONG, TOO_FEW], ids=["empty", "too_long", "too_few"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_neighbours_of_a_bad_sample_are_answered_as_without_it(make_engine, layout, bad, place):
    request = several(layout=layout)
    samples = [*SAMPLES[:place], bad, *SAMPLES[place:]]
    outcomes = make_engine().answer(samples, request)
    assert_error(outcomes.pop(place), "wordings|empty|positions")
    assert outcomes == make_engine().answer(SAMPLES, request)


def test_bad_samples_alone_are_errors_one_by_one(make_engine):
    outcomes = make_engine().answer([TOO_LONG, EMPTY, TOO_FEW], several())
    for outcome, message in zip(outcomes, ["positions", "empty", "2 wordings"], strict=True):
        assert_error(outcome, message)


def test_no_samples_give_no_answers(make_engine):
    assert make_engine().answer([], make_request()) == []


def test_an_engine_answers_on_after_bad_samples(make_engine):
    engine, request = make_engine(), make_request()
    engine.answer([TOO_LONG, EMPTY], request)
    assert engine.answer(SAMPLES, request) == make_engine().answer(SAMPLES, request)
