"""Stop strings end answers where the reference finds them, in whichever tokens they lie."""

import copy
import doctest
from dataclasses import replace

import pytest

from common.methods import CONFIDENCE
from common.records import Sample
from common.run import SamplingParams
from tests.worker.engine.answers import answers_of
from tests.worker.engine.families import EOS, MANY, known, make_request, packed_prompts
from worker.engine import answer_end
from worker.engine.answer_end import EndRules
from worker.engine.ensembles import Draw, seed_of
from worker.engine.reference import PLAIN, reference_decode

STEPS = 11
PIECES = (b"\xc3", b"\xa9", b"\n", b"Q", b"\nQ:", b"a", b": a", b"\xa9Q", b"a\xc3")
STOP = ("\n\n", "é", "Q:", "aQ", ": aa", "\nQ:\n")
QUESTIONS = [Sample(known(p).paraphrases, (), f"id-{i}", 2, known(p).confidences)
             for i, p in enumerate(MANY[:3])]  # fmt: skip


@pytest.fixture
def make_spelling(make_engine):
    """An engine to which every token spells one of PIECES, so that stop strings span tokens."""

    def make(family="llama"):
        engine = make_engine(family)
        spelled = [PIECES[i % len(PIECES)] for i in range(301)]
        engine.tokenizer.token_bytes.by_id = spelled
        return engine, spelled

    return make


@pytest.mark.parametrize("stop", [STOP, (), ("é\n",)])
@pytest.mark.parametrize("layout", ["concat", "shared"])
def test_every_method_stops_where_the_reference_does(make_spelling, layout, stop):
    engine, spelled = make_spelling()
    request = make_request(layout=layout, stop=stop, max_new_tokens=STEPS)
    model, rules = copy.deepcopy(engine.model), EndRules(stop, (EOS,))
    reasons = set()
    for question, answers in zip(QUESTIONS, answers_of(engine, QUESTIONS, request), strict=True):
        for method in request.methods:
            prompts = packed_prompts(
                engine.tokenizer._tokenizer, question, replace(request, methods=(method,))
            )
            for packed, got in zip(prompts, answers[method.name], strict=True):
                wanted = reference_decode(model, packed, method, rules, spelled, STEPS, question)
                assert (got.tokens, got.finish_reason) == (wanted.tokens, wanted.finish_reason)
                assert got.logprob == pytest.approx(wanted.logprob, abs=1e-4)
                reasons.add(got.finish_reason)
    if stop == STOP:
        assert len(reasons - {"length", "eos"}) > 3, "else the test compares too little"


def test_draws_stop_where_the_reference_does(make_spelling):
    warm = SamplingParams(temperature=1.5, top_p=0.9, num_draws=3)
    engine, spelled = make_spelling()
    request = make_request(
        methods=(CONFIDENCE,), sampling=warm, stop=STOP, max_new_tokens=STEPS, num_paraphrases=1
    )
    model, question = copy.deepcopy(engine.model), QUESTIONS[1]
    (answers,) = answers_of(engine, [question], request)
    narrow = replace(question, paraphrases=question.paraphrases[:1])
    (packed,) = packed_prompts(engine.tokenizer._tokenizer, narrow, request)
    draws = [None, *(Draw(warm, seed_of(f"{question.uuid}/0", n)) for n in range(3))]
    for draw, got in zip(draws, answers[CONFIDENCE.name], strict=True):
        wanted = reference_decode(
            model, packed, PLAIN, EndRules(STOP, (EOS,)), spelled, STEPS, draw=draw
        )
        assert (got.tokens, got.finish_reason) == (wanted.tokens, wanted.finish_reason)


def test_a_stop_string_across_two_tokens_ends_the_answer(make_engine):
    """The tiny tokenizer's own tokens: a text that two neighbours of a free answer spell."""
    engine = make_engine()
    known_bytes = engine.tokenizer.token_bytes.by_id
    free = make_request("per_prompt", stop=(), max_new_tokens=STEPS)
    spanning = 0
    for question in MANY:
        (answers,) = answers_of(engine, [question], free)
        for number, one in enumerate(answers["per_prompt"]):
            for n, (a, b) in enumerate(zip(one.tokens, one.tokens[1:], strict=False)):
                text = known_bytes[a][-1:] + known_bytes[b][:1] if max(a, b) < 301 else b"\xff"
                if not text.isascii() or len(text) < 2 or b == EOS:
                    continue
                stop = text.decode()
                (got,) = answers_of(engine, [question], replace(free, stop=(stop,)))
                ended = got["per_prompt"][number]
                assert ended.finish_reason == answer_end.stop_reason(stop)
                assert ended.tokens == one.tokens[: len(ended.tokens)]
                assert len(ended.tokens) <= n + 2
                spanning += 1
    assert spanning > 2


def test_ids_that_no_tokenizer_has_do_not_stop(make_engine, tokenizers):
    engine = make_engine()
    table = engine._stops.of(make_request()).automaton
    size = len(tokenizers[False])
    assert size < table.by_token.shape[1] == 307
    for state in range(len(table.by_byte)):
        assert set(table.by_token[state, size:].tolist()) == {state}


def test_requests_with_equal_stop_strings_share_a_table(make_engine):
    engine = make_engine()
    first = engine._stops.of(make_request("avg"))
    assert engine._stops.of(make_request("max", max_new_tokens=9)) is first
    assert engine._stops.of(make_request("avg", stop=("\n", "Q:"))) is not first


def test_the_example_of_reasons_is_true():
    assert doctest.testmod(answer_end).failed == 0
