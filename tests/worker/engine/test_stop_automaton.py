"""The automaton over tokens says what a search in the text of the tokens says."""

import random
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from common.prompts import before_stop
from worker.engine.answer_end import EndRules
from worker.engine.reference import reference_end
from worker.engine.stop_automaton import build_automaton, split_reasoning
from worker.model.reasoning import ReasoningMarks

EOS = 3
SPELLED = [
    b"", b"a", b"b", b"", b"ab", b"\n", b"\n\n", b"a\nb", b"<", b"t>", b"<t>", b"</", b"</t>",
    b"</t>a\n", b"<t></t>", b"\xe6\x97", b"\xa5", b"a\xe6", b"\x97", b" " * 9 + b"a", b"t><",
]  # fmt: skip
"""Token bytes that cut stop strings, marks and characters in many places."""

STOPS = ["\n", "ab", "b\n", "\n\n", "日", "a日b", "aab", "bab", "<t>", "t", "abab"]
MARKS = [None, ReasoningMarks("<t>", "</t>", (12,)), ReasoningMarks("<", "<</t>", (8, 12))]

tokens_strategy = st.lists(st.integers(0, len(SPELLED) - 1), max_size=9)
rules_strategy = st.builds(
    EndRules,
    stop=st.lists(st.sampled_from(STOPS), max_size=4).map(tuple),
    eos_ids=st.just((EOS,)),
    marks=st.sampled_from(MARKS),
    begins_in_reasoning=st.booleans(),
)


def walk(rules, tokens):
    """By the automaton: how many tokens are read, why the answer ends, whether it is reasoning."""
    automaton = build_automaton(rules, SPELLED)
    state = automaton.begin
    for number, token in enumerate(tokens, 1):
        state = int(automaton.by_token[state, token])
        if state < len(automaton.reasons):
            return number, automaton.reasons[state], False
    return len(tokens), None, state >= automaton.first_reasoning


def search(rules, tokens):
    """The same by the reference."""
    for number in range(len(tokens) + 1):
        reason, inside = reference_end(tokens[:number], rules, SPELLED)
        if reason:
            return number, reason, False
    return len(tokens), None, inside


@given(rules_strategy, tokens_strategy)
@example(EndRules(("日",)), [15, 16])
@example(EndRules(("ab", "b\n")), [1, 7])
@example(EndRules(("\n",), (), MARKS[1], True), [5, 12, 5])
@example(EndRules((), (), MARKS[2], True), [8, 8, 12, 1])
def test_the_automaton_finds_what_a_search_in_the_text_finds(rules, tokens):
    assert walk(rules, tokens) == search(rules, tokens)


@given(st.lists(st.sampled_from(STOPS), min_size=1, max_size=4), tokens_strategy)
def test_the_stop_string_found_is_the_one_a_prediction_ends_at(stop, tokens):
    rules = EndRules(tuple(stop))
    number, reason, _ = walk(rules, tokens)
    text = b"".join(SPELLED[i] for i in tokens[:number]).decode(errors="replace")
    if reason is None:
        assert before_stop(text, stop) == text
    else:
        which = next(s for s in stop if walk(EndRules((s,)), tokens)[1] == reason)
        assert text.startswith(before_stop(text, stop) + which)


def test_of_stop_strings_that_end_together_the_longest_counts():
    assert walk(EndRules(("b", "ab", "zab")), [1, 2]) == (2, "stop:ab", False)


def test_of_several_within_a_token_the_one_that_ends_first_counts():
    assert walk(EndRules(("b", "\n")), [1, 7]) == (2, "stop:\\n", False)


def test_an_end_token_counts_anywhere_and_before_a_stop_string():
    assert walk(EndRules(("\n",), (5,)), [5]) == (1, "eos", False)
    assert walk(EndRules((), (5,), MARKS[1], True), [5]) == (1, "eos", False)


def test_nothing_ends_an_answer_without_stop_strings_and_end_tokens():
    assert walk(EndRules(stop=()), range(len(SPELLED))) == (len(SPELLED), None, False)


def test_an_empty_stop_string_is_refused():
    with pytest.raises(ValueError, match=r"at least one character, got \('a', ''\)"):
        EndRules(("a", ""))


@pytest.mark.parametrize(
    ("begins", "tokens", "number", "rest"),
    [
        (True, [1, 12, 2], 2, b""),
        (True, [1, 13, 2], 2, b"a\n"),
        (True, [1, 11, 9, 2], 3, b""),
        (True, [1, 2], 2, b""),
        (True, [], 0, b""),
        (False, [1, 2], 0, b""),
        (False, [10, 1, 12, 2], 3, b""),
        (False, [14, 2], 1, b""),
        (False, [10, 1, 12, 2, 10, 4], 6, b""),
    ],
)
def test_what_precedes_the_last_end_mark_is_reasoning(begins, tokens, number, rest):
    automaton = build_automaton(EndRules((), (), MARKS[1], begins), SPELLED)
    assert split_reasoning(automaton, [SPELLED[i] for i in tokens]) == (number, rest)


def test_a_large_vocabulary_takes_less_than_a_second():
    draw = random.Random(0)
    signs = b" abcdefghijklmnopqrstuvwxyz\n.<>/Q:"
    known = [bytes(draw.choices(signs, k=draw.randint(1, 11))) for _ in range(150_000)]
    rules = EndRules(("\n\nQ: who", "</answer>", "The end."), (5,), MARKS[1])
    began = time.process_time()
    automaton = build_automaton(rules, known)
    assert time.process_time() - began < 1
    assert 30 < len(automaton.by_byte) < 60
