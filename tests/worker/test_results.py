"""Result rows: votes, single answers beside an ensemble's, confidences, errors."""

import pytest

from common.errors import SampleError, UsageError
from common.prompts import Template
from common.records import Sample
from common.run import SamplingParams
from tests.worker.scripted import answers_of, make_spec, prompt_of, spoken
from worker.results import RowMaker, describe, failed_rows

SAMPLE = Sample(("who?", "which one?", "tell me who"), ("Ann",), "id-7")
THREE = [spoken(" Rome\n"), spoken(" Ann.\n"), spoken(" ann\n")]


def rows(method, outcome, **changes):
    spec = make_spec(method, **changes)
    if not isinstance(outcome, Exception):
        outcome = answers_of(SAMPLE, outcome, spec)
    return RowMaker(spec, prompt_of).rows(7, SAMPLE, outcome)


def only(method, outcome, **changes):
    (answer,) = rows(method, outcome, **changes)
    return answer


def test_a_row_holds_the_text_its_tokens_and_their_sum():
    answer = only("avg", {"avg": [spoken(" Ann\nQ: next", -0.5, -0.125, -0.0625)]})
    assert (answer.row, answer.paraphrase_index, answer.uuid) == (7, 0, "id-7")
    assert (answer.prediction, answer.generation) == ("Ann", " Ann\nQ: next")
    assert answer.tokens == [ord(letter) for letter in " Ann\nQ: next"]
    assert answer.logprob == sum(answer.token_logprobs) == -0.6875
    assert (answer.finish_reason, answer.error, answer.paraphrase) == ("stop:\\n", None, None)


def test_several_answers_of_a_method_that_has_one_are_refused_and_not_written_as_several_rows():
    with pytest.raises(UsageError, match="'avg' has 3 answers"):
        rows("avg", {"avg": THREE})


def test_the_row_of_a_vote_is_the_answer_most_paraphrases_give():
    """`Ann.` and `ann` are one answer; of the two the one with more per token stands for it."""
    sure, unsure = spoken(" ann\n", *[-0.1] * 5), spoken(" Ann.\n", *[-0.2] * 6)
    answer = only("majority", {"majority": [spoken(" Rome\n", *[-0.01] * 6), unsure, sure]})
    assert answer.prediction == "ann"
    assert (answer.tokens, answer.logprob) == (list(sure.tokens), sure.logprob)


def test_a_tied_vote_goes_by_log_probability_per_token_and_not_in_all():
    short, long = spoken(" no\n", *[-0.3] * 4), spoken(" certainly\n", *[-0.2] * 11)
    assert short.logprob > long.logprob
    assert only("majority", {"majority": [short, long]}).prediction == "certainly"


def test_of_equal_answers_the_one_with_more_per_token_is_taken_and_not_with_more_in_all():
    long, short = spoken(" the Ann.\n", *[-0.1] * 10), spoken(" ann\n", *[-0.15] * 5)
    assert long.logprob < short.logprob
    for generations in ([long, short], [short, long]):
        assert only("majority", {"majority": generations}).prediction == "the Ann."


def test_an_empty_answer_is_not_elected_while_there_is_another():
    generations = [spoken("\n", -0.01), spoken(" \n", -0.01, -0.01), spoken(" Ann\n")]
    assert only("majority", {"majority": generations}).prediction == "Ann"


@pytest.mark.parametrize("beside", ["per_prompt", "majority"])
@pytest.mark.parametrize(
    "method", ["avg", "max", "weighted_avg", "weighted_max", "flex_attention"]
)
def test_the_single_answers_are_kept_where_they_were_asked_for_together(method, beside):
    answer = only(method, {method: [spoken(" fused\n")], beside: THREE})
    assert [single.prediction for single in answer.singles] == ["Rome", "Ann.", "ann"]
    for single, generated in zip(answer.singles, THREE, strict=True):
        assert single.tokens == list(generated.tokens)
        assert single.token_logprobs == list(generated.token_logprobs)
        assert single.finish_reason == generated.finish_reason


def test_a_vote_keeps_its_own_single_answers():
    answer = only("majority", {"majority": THREE})
    assert [single.prediction for single in answer.singles] == ["Rome", "Ann.", "ann"]


def test_no_single_answers_are_kept_where_none_were_asked_for():
    assert only("avg", {"avg": THREE[:1]}).singles is None
    assert only("avg", {"avg": THREE[:1], "max": THREE[:1]}).singles is None


def test_the_first_paraphrases_answer_keeps_no_single_answers():
    assert only("origin", {"origin": THREE[:1], "per_prompt": THREE}).singles is None


def test_single_answers_that_failed_are_not_kept():
    outcome = {"origin": THREE[:1], "avg": THREE[:1], "per_prompt": SampleError("too long")}
    assert only("avg", outcome).singles is None


def test_a_row_for_each_paraphrase_names_it_and_its_prompt():
    answers = rows("per_prompt", {"per_prompt": THREE})
    assert [answer.paraphrase_index for answer in answers] == [0, 1, 2]
    assert [answer.paraphrase for answer in answers] == list(SAMPLE.paraphrases)
    assert answers[1].prompt == prompt_of("which one?")
    assert all(answer.singles is None for answer in answers)


WORD = Template(instruction="One word.", question="{question}\n", cue="->", prediction="word")


@pytest.mark.parametrize(
    ("text", "word"),
    [(" Paris, of course\n", "Paris"), (" \n Paris", ""), ('"Rome".\n', "Rome"), ("x", "x")],
)
def test_the_first_word_is_the_prediction_where_the_template_says_so(text, word):
    answer = only("avg", {"avg": [spoken(text)], "majority": [spoken(text)]}, template=WORD)
    assert answer.prediction == answer.singles[0].prediction == word
    assert answer.generation == text


def test_a_vote_on_first_words_does_not_see_the_rest():
    generations = [spoken(" Paris it is\n"), spoken(" Rome\n", *[-0.01] * 6), spoken(" paris!\n")]
    answer = only("majority", {"majority": generations}, template=WORD)
    assert answer.prediction.lower() == "paris"


def confidences(drawn, number, **changes):
    sampling = SamplingParams(temperature=1, top_p=1, num_draws=number)
    return rows("confidence", {"confidence": drawn}, sampling=sampling, **changes)


def test_confidence_is_the_share_of_drawn_answers_equal_to_the_best_one():
    """Two paraphrases, each the best answer and four draws; articles and case do not count."""
    first = ["the Nile", "Nile", "nile.", "the  nile!", "Amazon"]
    second = ["Amazon", "Nile", "Danube", "x", "y"]
    answers = confidences([spoken(f" {text}\n") for text in first + second], 4)
    assert [answer.confidence for answer in answers] == [3 / 4, 0]
    assert [answer.sampled for answer in answers] == [first[1:], second[1:]]
    assert [answer.prediction for answer in answers] == ["the Nile", "Amazon"]
    assert [answer.paraphrase for answer in answers] == list(SAMPLE.paraphrases[:2])


def test_an_empty_best_answer_is_as_sure_as_empty_draws_make_it():
    (answer,) = confidences([spoken("\n"), spoken(" .\n"), spoken(" Ann\n")], 2)
    assert (answer.prediction, answer.confidence) == ("", 0.5)


def test_confidence_keeps_apart_what_differs_in_a_sign_or_a_point():
    texts = ["-5", "5", "5.", "\u22125", "-.5", "A"]
    (answer,) = confidences([spoken(f" {text}\n") for text in texts], 5)
    assert answer.confidence == 1 / 5


def test_an_article_is_an_answer_to_be_sure_of():
    (answer,) = confidences([spoken(f" {text}\n") for text in ("A", "a.", "B", "", "The")], 4)
    assert answer.confidence == 1 / 4


def test_a_vote_of_an_article_is_won_by_it():
    generations = [spoken(f" {text}\n") for text in ("A", "A", "A", "B")]
    assert only("majority", {"majority": generations}).prediction == "A"


def test_confidences_of_first_words_compare_first_words():
    texts = [" Paris\n", " Paris, of course\n", " paris is it\n", " In Paris\n"]
    (answer,) = confidences([spoken(text) for text in texts], 3, template=WORD)
    assert answer.confidence == pytest.approx(2 / 3)
    assert answer.sampled == ["Paris", "paris", "In"]


@pytest.mark.parametrize("method", ["avg", "origin", "majority"])
def test_a_failed_sample_is_one_row_that_says_why(method):
    answer = only(method, {method: SampleError("paraphrase 1 is empty")})
    assert (answer.row, answer.error, answer.prediction) == (7, "paraphrase 1 is empty", None)
    assert only(method, ValueError("no")).error == "ValueError: no"


@pytest.mark.parametrize("method", ["avg", "origin", "per_prompt", "confidence"])
def test_an_error_is_the_samples_if_the_engine_says_so_and_the_workers_if_it_raises(method):
    for answer in rows(method, {method: SampleError("paraphrase 1 is empty")}):
        assert answer.error_kind == "sample"
    for error in (RuntimeError("CUDA error: out of memory"), MemoryError(), ValueError("no")):
        for answer in rows(method, error):
            assert answer.error_kind == "worker"


def test_a_row_without_error_has_no_kind_of_error():
    assert only("avg", {"avg": THREE[:1]}).error_kind is None


@pytest.mark.parametrize("method", ["per_prompt", "confidence"])
def test_a_failed_sample_is_a_row_for_each_paraphrase_that_was_to_be_read(method):
    answers = rows(method, {method: SampleError("too long")}, num_paraphrases=2)
    assert [(a.paraphrase_index, a.paraphrase, a.error) for a in answers] == [
        (0, "who?", "too long"),
        (1, "which one?", "too long"),
    ]


def test_a_method_that_failed_leaves_the_others_their_rows():
    outcome = {"origin": THREE[:1], "avg": SampleError("paraphrase 2 is empty")}
    assert only("origin", outcome).prediction == "Rome"
    assert only("avg", outcome).error == "paraphrase 2 is empty"


def test_a_question_without_paraphrases_yet_keeps_its_question_when_it_fails():
    sample = Sample(("who?",), ("Ann",), "id-7")
    (answer,) = failed_rows(make_spec("paraphrases"), 7, sample, "too long", "sample")
    assert (answer.paraphrases, answer.problems, answer.error) == (["who?"], None, "too long")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (SampleError("it is empty"), "it is empty"),
        (RuntimeError("first\nsecond"), "RuntimeError: first"),
        (KeyError(), "KeyError: no message"),
        (ValueError("x" * 900), "ValueError: " + "x" * 488),
    ],
)
def test_an_error_is_one_line(error, line):
    assert describe(error) == line
