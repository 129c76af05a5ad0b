"""Drawn answers: they do not depend on the batch, and all draws of a prompt share one prefill."""

import copy
from dataclasses import replace

import pytest

from common.methods import CONFIDENCE, PARAPHRASES
from common.records import Sample
from common.run import SamplingParams
from tests.worker.engine.answers import answers_of
from tests.worker.engine.families import (
    MANY,
    make_request,
    packed_prompts,
    reference_ends,
    watch_fed_tokens,
)
from worker.engine.budget import Budget
from worker.engine.ensembles import Draw, seed_of
from worker.engine.reference import PLAIN, reference_decode

QUESTIONS = [Sample(paraphrases, uuid=f"id-{i}") for i, paraphrases in enumerate(MANY)]
WARM = SamplingParams(temperature=1.5, top_p=0.9, num_draws=3)


def ask(method=CONFIDENCE, sampling=WARM, **changes):
    return make_request(methods=(method,), sampling=sampling, **changes)


def tokens(answers, method=CONFIDENCE):
    """Tokens and finish reasons of the answers, by sample."""
    return [[(g.tokens, g.finish_reason) for g in answer[method.name]] for answer in answers]


def test_drawn_answers_equal_the_reference(make_engine, tokenizers, family, bos):
    """Per paraphrase the greedy answer, then its draws, each with the seed of its number."""
    engine, request = make_engine(family, bos), ask(num_paraphrases=2)
    model = copy.deepcopy(engine.model)
    ends = reference_ends(tokenizers[bos], request)
    for question, answer in zip(
        QUESTIONS[:3], answers_of(engine, QUESTIONS[:3], request), strict=True
    ):
        narrow = replace(question, paraphrases=question.paraphrases[:2])
        wanted = []
        for i, packed in enumerate(packed_prompts(tokenizers[bos], narrow, request)):
            name = f"{question.uuid}/{i}"
            draws = [None, *(Draw(WARM, seed_of(name, number)) for number in range(3))]
            wanted += [reference_decode(model, packed, PLAIN, *ends, 5, draw=d) for d in draws]
        got = answer[CONFIDENCE.name]
        assert [g.tokens for g in got] == [w.tokens for w in wanted]
        assert [g.finish_reason for g in got] == [w.finish_reason for w in wanted]
        assert [g.logprob for g in got] == pytest.approx([w.logprob for w in wanted], abs=1e-4)


def test_draws_differ_from_each_other_and_from_the_best_answer(make_engine):
    """If draws were equal, the other tests of this file would compare nothing."""
    for answer in tokens(answers_of(make_engine(), QUESTIONS, ask())):
        assert len(set(answer)) > 6


@pytest.mark.parametrize("method", [CONFIDENCE, PARAPHRASES], ids=lambda method: method.name)
def test_a_draw_is_the_same_alone_with_neighbours_and_in_another_order(
    make_engine, family, bos, method
):
    engine, request = make_engine(family, bos), ask(method)
    together = tokens(answers_of(engine, QUESTIONS, request), method)
    alone = [a for q in QUESTIONS for a in tokens(answers_of(engine, [q], request), method)]
    turned = tokens(answers_of(engine, QUESTIONS[::-1], request), method)
    assert together == alone == turned[::-1]


@pytest.mark.parametrize(
    "limits", [Budget(cache_bytes=1), Budget(pack_tokens=1), Budget(pack_tokens=67)]
)
def test_little_memory_draws_the_same_tokens(make_engine, bos, limits):
    much = tokens(answers_of(make_engine(bos=bos), QUESTIONS, ask()))
    assert (
        tokens(answers_of(make_engine(bos=bos, engine={"budget": limits}), QUESTIONS, ask()))
        == much
    )


def test_a_question_named_otherwise_is_drawn_otherwise(make_engine):
    engine, paraphrases = make_engine(), MANY[0]
    named = [Sample(paraphrases, uuid=name) for name in ("id-0", "id-1", "id-0")]
    first, other, again = tokens(answers_of(engine, named, ask()))
    assert first == again
    assert first[::4] == other[::4], "the best answers have no seed"
    drawn = [(a, b) for i, (a, b) in enumerate(zip(first, other, strict=True)) if i % 4]
    assert sum(a != b for a, b in drawn) > 5


def test_equal_paraphrases_of_a_question_have_draws_of_their_own(make_engine):
    (answer,) = tokens(answers_of(make_engine(), [Sample((MANY[0][0],) * 2, uuid="id")], ask()))
    assert answer[0] == answer[4]
    assert answer[1:4] != answer[5:]


def test_more_samples_begin_with_the_draws_of_fewer(make_engine):
    engine = make_engine()
    few = tokens(answers_of(engine, QUESTIONS, ask()))
    many = tokens(answers_of(engine, QUESTIONS, ask(sampling=replace_number(WARM, 6))))
    for a, b in zip(few, many, strict=True):
        for paraphrase in range(3):
            assert a[4 * paraphrase : 4 * paraphrase + 4] == b[7 * paraphrase : 7 * paraphrase + 4]


def replace_number(sampling, number):
    return sampling.model_copy(update={"num_draws": number})


def test_longer_answers_begin_with_the_draws_of_shorter_ones(make_engine):
    engine = make_engine()
    short = tokens(answers_of(engine, QUESTIONS, ask(max_new_tokens=2)))
    long = tokens(answers_of(engine, QUESTIONS, ask(max_new_tokens=7)))
    for answer, longer in zip(short, long, strict=True):
        assert [a for a, _ in answer] == [b[:2] for b, _ in longer]


def test_fifty_samples_of_a_prompt_prefill_no_more_than_one(make_engine, bos):
    fed = {}
    for number in (1, 50):
        engine = make_engine(bos=bos)
        lengths = watch_fed_tokens(engine.model)
        answers_of(engine, QUESTIONS, ask(sampling=replace_number(WARM, number), max_new_tokens=1))
        *fed[number], step = lengths
        assert step == len(QUESTIONS) * 3, "all draws of a prompt begin as one row"
    assert fed[1] == fed[50]
    assert len(fed[1]) == 2, "the cached prefix and one pack"


def test_a_greedy_answer_is_the_same_beside_its_draws(make_engine, family, bos):
    engine = make_engine(family, bos)
    drawn = tokens(answers_of(engine, QUESTIONS, ask()))
    greedy = answers_of(engine, MANY, make_request("per_prompt"))
    for with_draws, answer in zip(drawn, greedy, strict=True):
        alone = [(g.tokens, g.finish_reason) for g in answer["per_prompt"]]
        assert with_draws[::4] == alone


def test_paraphrases_to_be_written_are_drawn_alone_and_from_the_question_alone(make_engine):
    engine, once = make_engine(), replace_number(WARM, 1)
    answers = answers_of(engine, QUESTIONS, ask(PARAPHRASES, once))
    assert [len(answer["paraphrases"]) for answer in answers] == [1] * 7
    bare = [replace(question, paraphrases=question.paraphrases[:1]) for question in QUESTIONS]
    assert answers_of(engine, bare, ask(PARAPHRASES, once, num_paraphrases=1)) == answers


def test_an_almost_frozen_draw_is_the_best_answer(make_engine):
    cold = SamplingParams(temperature=0.001, top_p=1, num_draws=2)
    for answer in tokens(answers_of(make_engine(), QUESTIONS, ask(sampling=cold))):
        for first in (0, 3, 6):
            assert answer[first] == answer[first + 1] == answer[first + 2]
