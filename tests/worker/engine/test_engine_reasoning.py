"""Reasoning: where it begins and ends, what ends it, and that every method agrees on it."""

import copy
from dataclasses import replace

import pytest

from common.errors import StopRun
from common.methods import CONFIDENCE
from common.records import Sample
from common.run import SamplingParams
from tests.worker.engine.answers import answers_of
from tests.worker.engine.families import FORMAT, MANY, make_request, packed_prompts
from tests.worker.engine.thinking import (
    ASSISTANT,
    END_OF_TURN,
    SWITCH,
    THINK,
    THOUGHT,
    chat_format,
    encourage,
    make_thinking_tokenizer,
    thinking_ends,
)
from worker.engine.engine import Engine
from worker.engine.ensembles import Draw, seed_of
from worker.engine.outputs import Generation
from worker.engine.reference import PLAIN, reference_decode
from worker.engine.stop_automaton import EOS_STATE

STEPS = 9
QUESTIONS = [Sample(paraphrases, uuid=f"id-{i}") for i, paraphrases in enumerate(MANY[1:3])]


@pytest.fixture
def make_thinker(make_engine):
    """An engine of a tiny model that reasons, and its tokenizer."""

    def make(switch=SWITCH, end="</think>", family="llama", likely=()):
        tokenizer = make_thinking_tokenizer(switch, end)
        engine = make_engine(family)
        encourage(engine, list(likely))
        return Engine(engine.model, tokenizer, engine.runner.backend), tokenizer

    return make


def ask(*methods, **changes):
    options = {"prompt_format": chat_format(), "max_new_tokens": STEPS, "stop": ()}
    return make_request(*methods, **(options | changes))


def equal(got, wanted):
    assert (got.tokens, got.finish_reason) == (wanted.tokens, wanted.finish_reason)
    assert got.token_logprobs == pytest.approx(wanted.token_logprobs, abs=1e-4)


@pytest.mark.parametrize("most", [None, 0, 3, STEPS - 1, STEPS])
@pytest.mark.parametrize("layout", ["concat", "shared"])
def test_every_method_reasons_as_the_reference_does(make_thinker, layout, most):
    engine, tokenizer = make_thinker(likely=[THINK, THOUGHT])
    request = ask(layout=layout, stop=("\n", "e"), max_reasoning_tokens=most)
    model, ends = copy.deepcopy(engine.model), thinking_ends(tokenizer, request, begins=True)
    for question, answers in zip(QUESTIONS, answers_of(engine, QUESTIONS, request), strict=True):
        for method in request.methods:
            alone = replace(request, methods=(method,))
            prompts = packed_prompts(tokenizer, question, alone)
            for packed, got in zip(prompts, answers[method.name], strict=True):
                wanted = reference_decode(
                    model, packed, method, *ends, STEPS, max_reasoning_tokens=most
                )
                equal(got, wanted)


@pytest.mark.parametrize("most", [2, 5])
def test_an_end_mark_of_several_tokens_is_forced_one_after_another(make_thinker, most):
    engine, tokenizer = make_thinker(end="nk>")
    request = ask("avg", "origin", max_reasoning_tokens=most)
    marks = thinking_ends(tokenizer, request, begins=True)[0].marks
    assert len(marks.end_ids) > 3
    for answers in answers_of(engine, QUESTIONS, request):
        for method in request.methods:
            (got,) = answers[method.name]
            forced = got.tokens[most : most + len(marks.end_ids)]
            assert forced == marks.end_ids[: STEPS - most]
            assert all(p < 0 for p in got.token_logprobs)


def test_draws_are_forced_too_and_equal_the_reference(make_thinker):
    warm = SamplingParams(temperature=1.5, top_p=0.9, num_draws=2)
    engine, tokenizer = make_thinker()
    request = ask(methods=(CONFIDENCE,), sampling=warm, num_paraphrases=1, max_reasoning_tokens=2)
    ends = thinking_ends(tokenizer, request, begins=True)
    model, (question,) = copy.deepcopy(engine.model), QUESTIONS[:1]
    (answers,) = answers_of(engine, [question], request)
    narrow = replace(question, paraphrases=question.paraphrases[:1])
    (packed,) = packed_prompts(tokenizer, narrow, request)
    draws = [None, *(Draw(warm, seed_of(f"{question.uuid}/0", n)) for n in range(2))]
    for draw, got in zip(draws, answers[CONFIDENCE.name], strict=True):
        assert got.tokens[2] == THOUGHT
        equal(
            got,
            reference_decode(
                model, packed, PLAIN, *ends, STEPS, draw=draw, max_reasoning_tokens=2
            ),
        )


def test_stop_strings_do_not_count_while_the_model_reasons(make_thinker):
    engine, _ = make_thinker()
    free = [a["origin"][0].tokens for a in answers_of(engine, QUESTIONS, ask("origin"))]
    known = engine.tokenizer.token_bytes.by_id
    first = [known[tokens[0]].decode("latin-1") for tokens in free]
    stop = tuple(text for text in first if text.isascii()) or ("\n",)
    inside = answers_of(engine, QUESTIONS, ask("origin", stop=stop))
    assert [a["origin"][0].tokens for a in inside] == free


def test_a_model_that_opens_reasoning_itself_is_in_it_from_then_on(make_thinker):
    engine, tokenizer = make_thinker(switch="", likely=[THINK])
    request = ask("per_prompt", max_reasoning_tokens=4)
    model, ends = copy.deepcopy(engine.model), thinking_ends(tokenizer, request, begins=False)
    opened = 0
    for question, answers in zip(QUESTIONS, answers_of(engine, QUESTIONS, request), strict=True):
        for packed, got in zip(
            packed_prompts(tokenizer, question, request), answers["per_prompt"], strict=True
        ):
            equal(
                got, reference_decode(model, packed, PLAIN, *ends, STEPS, max_reasoning_tokens=4)
            )
            opened += THINK in got.tokens
    assert opened


def test_the_switch_decides_whether_the_prompt_leaves_reasoning_open(make_thinker):
    engine, _ = make_thinker()
    off = ask("origin", prompt_format=chat_format(thinking=False), max_reasoning_tokens=0)
    for answers in answers_of(engine, QUESTIONS, off):
        assert answers["origin"][0].tokens[0] != THOUGHT
    for answers in answers_of(engine, QUESTIONS, replace(off, prompt_format=chat_format())):
        assert answers["origin"][0].tokens[0] == THOUGHT


def test_nothing_is_reasoning_in_a_plain_prompt(make_thinker):
    engine, _ = make_thinker(likely=[THINK, THOUGHT])
    request = make_request("origin", max_new_tokens=STEPS, stop=(), max_reasoning_tokens=1)
    limited = [a["origin"][0].tokens for a in answers_of(engine, QUESTIONS, request)]
    free = answers_of(engine, QUESTIONS, replace(request, max_reasoning_tokens=None))
    assert limited == [a["origin"][0].tokens for a in free]
    text = engine.reader(request).to_text((THINK, 40, THOUGHT, 41))
    assert (text.reasoning, text.answer) == (None, text.whole)


def test_the_templates_end_of_turn_ends_an_answer_in_chat_alone(make_thinker):
    engine, _ = make_thinker(switch="")
    encourage(engine, [END_OF_TURN], 4.0)
    assert engine.tokenizer.end_of_turn == END_OF_TURN
    chat, plain = ask("per_prompt"), ask("per_prompt", prompt_format=FORMAT)
    ended = [g for a in answers_of(engine, QUESTIONS, chat) for g in a["per_prompt"]]
    assert any(END_OF_TURN in g.tokens for g in ended)
    assert all(END_OF_TURN not in g.tokens[:-1] for g in ended)
    assert {g.finish_reason for g in ended if g.tokens[-1] == END_OF_TURN} == {"eos"}
    unended = engine._stops.of(plain).automaton
    assert unended.by_token[unended.begin, END_OF_TURN] != EOS_STATE


def spoken(*tokens):
    return Generation(tokens, (-0.5,) * len(tokens), "length")


@pytest.mark.parametrize(
    ("words", "reasoning", "answer"),
    [
        (["is it 7?\n", THOUGHT, "\n\nit is"], "is it 7?", "\n\nit is"),
        ([THINK, " who", THOUGHT, "Rome"], "who", "Rome"),
        ([THOUGHT, "Rome"], None, "Rome"),
        (["who wrote", END_OF_TURN], "who wrote", ""),
    ],
)
def test_the_text_up_to_the_end_mark_is_reasoning(make_thinker, words, reasoning, answer):
    engine, tokenizer = make_thinker()
    ids = [
        [word] if isinstance(word, int) else tokenizer(word, add_special_tokens=False)["input_ids"]
        for word in words
    ]
    text = engine.reader(ask()).to_text([i for each in ids for i in each])
    assert (text.reasoning, text.answer) == (reasoning, answer)
    assert answer in text.whole


def test_an_end_mark_that_the_tokenizer_cannot_spell_is_said(make_thinker):
    engine, _ = make_thinker()
    engine.tokenizer.token_bytes.by_id[THOUGHT] = b"?"
    assert answers_of(engine, QUESTIONS, ask("origin"))
    with pytest.raises(StopRun, match=r"tokens \[302\] .* do not spell '</think>'"):
        answers_of(engine, QUESTIONS, ask("origin", max_reasoning_tokens=3))


def test_the_marks_of_the_test_are_where_it_says(make_thinker):
    _, tokenizer = make_thinker()
    names = ["<think>", "</think>", "<|assistant|>", "<|end|>"]
    ids = [THINK, THOUGHT, ASSISTANT, END_OF_TURN]
    assert tokenizer.convert_tokens_to_ids(names) == ids
