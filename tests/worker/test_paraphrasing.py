"""Writing paraphrases with a scripted engine: what is drawn, and what is drawn again."""

from dataclasses import replace

import pytest

from common.errors import RetryShard, SampleError, StopRun
from common.records import Sample
from tests.worker.scripted import EXEMPLARS, ScriptedEngine, make_spec
from worker.bisect import Bisector
from worker.engine.outputs import EngineOutput
from worker.engine.request import nobody_listens
from worker.paraphrasing import MAX_ATTEMPTS, exemplar_pair, paraphrase_request, write_paraphrases

SPEC = make_spec("paraphrases")
QUESTION = "who wrote hamlet?"
GOOD = {1: "hamlet was written by whom?", 2: "which author wrote hamlet?"}


def sample(uuid="a", question=QUESTION):
    return Sample((question,), ("Shakespeare",), uuid)


def write(script, *samples, spec=SPEC):
    """The rows that a script leads to, and the engine, which recorded its draws."""
    engine = ScriptedEngine(script)
    samples = samples or (sample(),)
    drafts = write_paraphrases(Bisector(engine, nobody_listens), spec, samples)
    return [draft.row(row, spec) for row, draft in enumerate(drafts)], engine


def drawing(*texts, paraphrase=1):
    """A script: `paraphrase` is drawn as these texts, one after another; all others are good."""

    def script(uuid, i, number):
        return f" {texts[number]}\n" if i == paraphrase else f" {GOOD[i]}\nmore"

    return script


def test_a_question_and_its_paraphrases_are_one_row():
    (row,), engine = write(lambda uuid, i, number: f" {GOOD[i]} \nQuestion: next")
    assert row.paraphrases == [QUESTION, GOOD[1], GOOD[2]]
    assert (row.problems, row.attempts, row.error) == ([None] * 3, [0, 1, 1], None)
    assert engine.draws == [("a", 1, 0), ("a", 2, 0)]


BAD = {
    "": "empty",
    " ?! ": "empty",
    "Who wrote Hamlet": "same as the question",
    "who wrote the hamlet?!": "same as the question",
    GOOD[2].upper(): "same as another paraphrase",
    "what is your name?": "no content word of the question is left",
}


@pytest.mark.parametrize("bad", BAD)
def test_what_is_no_paraphrase_is_drawn_again_with_another_seed(bad):
    """From the second draw on paraphrase 2 is there, so paraphrase 1 can be the same."""
    (row,), engine = write(drawing("what a pity", bad, GOOD[1]))
    assert row.paraphrases == [QUESTION, GOOD[1], GOOD[2]]
    assert (row.problems, row.attempts) == ([None] * 3, [0, 3, 1])
    assert [place for place in engine.draws if place[1] == 1] == [("a", 1, n) for n in range(3)]


@pytest.mark.parametrize("bad", [text for text in BAD if text])
def test_the_row_says_what_is_wrong_with_a_paraphrase_that_stays_bad(bad):
    (row,), _ = write(drawing(*["what a pity"] * (MAX_ATTEMPTS - 1), bad))
    assert (row.paraphrases[1], row.problems[1]) == (bad.strip(), BAD[bad])


def test_what_stays_bad_is_marked_and_kept():
    (row,), engine = write(drawing(*[QUESTION] * 99))
    assert row.paraphrases == [QUESTION, QUESTION, GOOD[2]]
    assert row.problems == [None, "same as the question", None]
    assert row.attempts == [0, MAX_ATTEMPTS, 1]
    assert row.error is None
    assert len(engine.draws) == MAX_ATTEMPTS + 1


def test_the_last_bad_text_stays_and_its_own_problem_with_it():
    texts = [*["what a pity"] * (MAX_ATTEMPTS - 3), QUESTION, "", ""]
    (row,), _ = write(drawing(*texts))
    assert (row.paraphrases[1], row.problems[1]) == (QUESTION, "same as the question")
    assert row.attempts[1] == MAX_ATTEMPTS


def test_a_paraphrase_that_never_came_is_empty_and_marked():
    (row,), _ = write(drawing(*[""] * 99))
    assert (row.paraphrases[1], row.problems[1], row.attempts[1]) == ("", "empty", MAX_ATTEMPTS)


def test_of_two_equal_paraphrases_the_first_is_accepted_and_the_second_drawn_again():
    def script(uuid, i, number):
        return GOOD[1] if (i, number) != (2, 1) else GOOD[2]

    (row,), _ = write(script)
    assert row.paraphrases == [QUESTION, GOOD[1], GOOD[2]]
    assert row.attempts == [0, 1, 2]


def test_a_bad_paraphrase_keeps_no_other_from_being_the_same():
    """Only what was accepted is compared with: a marked paraphrase holds no place."""
    texts = {1: ["what a pity"] * 99, 2: ["what a pity", GOOD[1]]}
    (row,), _ = write(lambda uuid, i, number: texts[i][number])
    assert row.problems == [None, "no content word of the question is left", None]
    assert row.attempts == [0, MAX_ATTEMPTS, 2]


def test_only_what_is_bad_is_drawn_again():
    samples = [sample("a"), sample("b"), sample("c")]

    def script(uuid, i, number):
        return "" if (uuid, i) == ("b", 2) and number < 4 else GOOD[i]

    rows, engine = write(script, *samples)
    assert [row.attempts for row in rows] == [[0, 1, 1], [0, 1, 5], [0, 1, 1]]
    first = [(uuid, i, 0) for i in (1, 2) for uuid in "abc"]
    assert engine.draws == [*first, *(("b", 2, number) for number in range(1, 5))]


def test_paraphrase_i_is_drawn_after_examples_that_show_their_paraphrase_i():
    spec = make_spec("paraphrases", num_paraphrases=5)
    script = lambda uuid, i, number: f"hamlet, the {i}th"  # noqa: E731
    _, engine = write(script, spec=spec)
    for i, shown in engine.shown.items():
        assert shown == tuple(
            (question, paraphrases[(i - 1) % len(paraphrases)])
            for question, *paraphrases in EXEMPLARS
        )
    assert engine.shown[2] == (
        ("who made it?", "whose work is it?"),
        ("where is it?", "what is its place?"),
    )
    assert engine.shown[3][0][1] == engine.shown[1][0][1], (
        "examples with two paraphrases begin anew"
    )
    assert exemplar_pair(EXEMPLARS[1], 3) == ("where is it?", "it is where?")


def test_a_failing_sample_is_one_row_and_its_neighbours_are_written():
    samples = [sample(uuid) for uuid in "abcde"]
    script = lambda uuid, i, number: ValueError("no b") if uuid == "b" else GOOD[i]  # noqa: E731
    rows, _ = write(script, *samples)
    assert [row.error for row in rows] == [None, "ValueError: no b", None, None, None]
    assert rows[1].paraphrases == [QUESTION]
    assert rows[1].problems is None
    assert all(row.paraphrases == [QUESTION, GOOD[1], GOOD[2]] for row in rows[2:])


def test_a_sample_that_fails_late_is_a_failed_row_and_is_not_drawn_again():
    def script(uuid, i, number):
        return ArithmeticError("late") if (uuid, i, number) == ("a", 2, 1) else QUESTION

    rows, engine = write(script, sample("a"), sample("b"))
    assert rows[0].error == "ArithmeticError: late"
    assert not [place for place in engine.draws if place[0] == "a" and place[2] > 1]
    assert rows[1].error is None


@pytest.mark.parametrize("fault", [StopRun("other weights"), RetryShard("store away")])
def test_what_is_no_fault_of_a_sample_is_raised(fault):
    with pytest.raises(type(fault), match=str(fault)):
        write(lambda uuid, i, number: fault, sample("a"), sample("b"))


def test_one_paraphrase_is_the_question_alone_and_nothing_is_drawn():
    (row,), engine = write(drawing(), spec=make_spec("paraphrases", num_paraphrases=1))
    assert (row.paraphrases, row.attempts, engine.draws) == ([QUESTION], [0], [])


@pytest.mark.parametrize("lacking", [{"sampling": None}, {"exemplars": None}, {"exemplars": ()}])
def test_a_run_that_does_not_tell_how_to_draw_stops(lacking):
    with pytest.raises(StopRun, match=f"no {next(iter(lacking))}"):
        paraphrase_request(make_spec("paraphrases", **lacking), 1)


def test_a_sample_the_engine_cannot_read_is_a_row_with_its_reason():
    class Refusing(ScriptedEngine):
        def run(self, questions, request, on_answered):
            output = super().run(questions, request, on_answered)
            refused = {"paraphrases": SampleError("too long")}
            answers = [
                replace(a, generations=refused) if a.sample.uuid.startswith("b") else a
                for a in output.answers
            ]
            return EngineOutput(answers, output.stats)

    engine = Refusing(lambda uuid, i, number: GOOD[i])
    bisector = Bisector(engine, nobody_listens)
    drafts = write_paraphrases(bisector, SPEC, [sample("a"), sample("b")])
    assert [draft.row(0, SPEC).error for draft in drafts] == [None, "too long"]
