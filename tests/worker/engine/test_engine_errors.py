"""A sample that cannot be answered gets a SampleError; its neighbours are answered."""

import re
from dataclasses import replace

import pytest

from common.errors import SampleError
from common.methods import METHODS
from common.records import Sample
from tests.worker.engine.answers import answers_of
from tests.worker.engine.families import FEW_SHOT, SAMPLES, known, make_request, packed_prompts

EMPTY = ("who?", " \n\t", "it?")
TOO_LONG = ("word " * 501, "b", "c")
NONE = ()


def longest_prompt(tokenizer, request):
    prompts = [p for s in SAMPLES for p in packed_prompts(tokenizer, known(s), request)]
    return max(prompt.next_position for answer in prompts for prompt in answer)


def several(**changes):
    """A request for the methods that read every paraphrase."""
    return make_request("per_prompt", "avg", "max", "flex_attention", **changes)


def avg(request):
    return replace(request, methods=(METHODS["avg"],))


def failed(outcome):
    return all(isinstance(answers, SampleError) for answers in outcome.values())


def assert_error(outcome, message):
    assert failed(outcome)
    assert all(re.search(message, str(error)) for error in outcome.values())


@pytest.mark.parametrize("paraphrases", [EMPTY, ("who?", "", "it?"), ("who?", "", "")])
def test_an_empty_paraphrase_is_an_error_that_names_it(make_engine, paraphrases):
    (outcome,) = answers_of(make_engine(), [paraphrases], several())
    assert_error(outcome, "paraphrase 1 is empty")


@pytest.mark.parametrize("count", [1, 2])
def test_fewer_paraphrases_than_asked_for_are_answered_as_if_no_more_were_asked_for(
    make_engine, count
):
    paraphrases, engine = SAMPLES[0][:count], make_engine()
    (outcome,) = answers_of(engine, [paraphrases], several())
    assert not any(isinstance(answers, SampleError) for answers in outcome.values())
    assert [outcome] == answers_of(engine, [paraphrases], several(num_paraphrases=count))
    assert len(outcome["per_prompt"]) == count


def test_no_paraphrase_at_all_is_an_error(make_engine):
    (outcome,) = answers_of(make_engine(), [NONE], make_request())
    assert_error(outcome, "it has no paraphrase")


@pytest.mark.parametrize(
    ("bad", "method", "message"),
    [
        (EMPTY, "avg", "paraphrase 1 is empty"),
        (("who?", "long " * 501, "it?"), "avg", "positions"),
        (SAMPLES[0], "weighted_avg", "it has 0 confidences, not 3"),
        (Sample(SAMPLES[0], confidences=(0.5, 0.25)), "weighted_max", "2 confidences, not 3"),
        (SAMPLES[0], "flex_attention_cross_manual", "which paraphrases are manual"),
    ],
)
def test_a_method_that_reads_less_is_answered_whatever_it_is_asked_with(
    make_engine, bad, method, message
):
    (alone,) = answers_of(make_engine(), [bad], make_request("origin"))
    (together,) = answers_of(make_engine(), [bad], make_request("origin", method))
    assert together["origin"] == alone["origin"]
    assert not failed(alone)
    assert_error({method: together[method]}, message)


def test_an_empty_paraphrase_that_is_not_asked_for_does_not_matter(make_engine):
    request = make_request("origin", num_paraphrases=1)
    engine = make_engine()
    (answer,) = answers_of(engine, [(SAMPLES[0][0], "")], request)
    assert [answer] == answers_of(engine, SAMPLES[:1], request)


@pytest.mark.parametrize("method", ["origin", "flex_attention"])
def test_prompt_and_answer_may_fill_the_model_but_not_more(make_engine, tokenizers, method):
    request = make_request(method)
    needed = longest_prompt(tokenizers[False], request) + request.max_new_tokens
    fits = make_engine(max_position_embeddings=needed)
    assert answers_of(fits, SAMPLES, request) == answers_of(make_engine(), SAMPLES, request)
    outcomes = answers_of(make_engine(max_position_embeddings=needed - 1), SAMPLES, request)
    errors = [one for one in outcomes if failed(one)]
    assert errors
    for error in errors:
        assert_error(error, f"take {needed} positions, the model has {needed - 1}")


@pytest.mark.parametrize("layout", ["concat", "shared"])
@pytest.mark.parametrize("bad", [EMPTY, TOO_LONG, NONE], ids=["empty", "too_long", "none"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_neighbours_of_a_bad_sample_are_answered_as_without_it(make_engine, layout, bad, place):
    request = several(layout=layout)
    samples = [*SAMPLES[:place], bad, *SAMPLES[place:]]
    outcomes = answers_of(make_engine(), samples, request)
    assert_error(outcomes.pop(place), "no paraphrase|empty|positions")
    assert outcomes == answers_of(make_engine(), SAMPLES, request)


def test_bad_samples_alone_are_errors_one_by_one(make_engine):
    outcomes = answers_of(make_engine(), [TOO_LONG, EMPTY, NONE], several())
    for outcome, message in zip(outcomes, ["positions", "empty", "no paraphrase"], strict=True):
        assert_error(outcome, message)


def test_no_samples_give_no_answers(make_engine):
    assert answers_of(make_engine(), [], make_request()) == []


def test_an_engine_answers_on_after_bad_samples(make_engine):
    engine, request = make_engine(), make_request()
    answers_of(engine, [TOO_LONG, EMPTY], request)
    assert answers_of(engine, SAMPLES, request) == answers_of(make_engine(), SAMPLES, request)


@pytest.mark.parametrize("layout", ["concat", "shared"])
@pytest.mark.parametrize("few_shot", [(), FEW_SHOT])
def test_tokens_that_the_model_does_not_have_are_an_error_of_their_sample(
    make_engine, tokenizers, layout, few_shot
):
    """This happens if tokens were added to a tokenizer and not to its model."""
    request = several(few_shot=few_shot, layout=layout)
    read = avg(request)
    prompts = [p for s in SAMPLES for p in packed_prompts(tokenizers[False], known(s), read)]
    largest = max(max(prompt.tokens) for sequences in prompts for prompt in sequences)
    outcomes = answers_of(make_engine(vocab_size=largest), SAMPLES, request)
    assert any(failed(outcome) for outcome in outcomes)
    for outcome in filter(failed, outcomes):
        assert_error(outcome, f"has token id {largest}, the model takes ids below {largest}")
