"""common.planning.dependents.result_samples: the samples that a merged preparatory run gives."""

from common.planning.dependents import result_samples
from common.records import Sample
from common.store import merge_run
from tests.common.stepkit import (
    confidence_of,
    finish_confidences,
    finish_paraphrases,
    make,
    paraphrase,
    plan,
    put_confidences,
    questions,
)

COUNT = 11


def samples_of(store, method, finish, samples, width=3, **how):
    (run,) = make(store, plan(method, num_paraphrases=width), samples=samples)
    finish(run, **how)
    return list(result_samples(run))


def test_paraphrases_come_after_their_question_in_the_order_of_the_data(any_store, small_batches):
    result = samples_of(any_store, "paraphrases", finish_paraphrases, questions(COUNT))
    assert result == questions(COUNT, paraphrases=3)


def test_a_question_without_paraphrases_keeps_itself_and_empty_paraphrases(any_store):
    """The runs that read them fail in this row; `origin` does not."""
    result = samples_of(
        any_store, "paraphrases", finish_paraphrases, questions(COUNT), width=4, failed=[0, 6]
    )
    assert result[0] == Sample(("what is 0?", "", "", ""), ("gold 0",), "id0")
    assert result[6].paraphrases == ("what is 6?", "", "", "")
    assert result[5].paraphrases == tuple(paraphrase(5, w) for w in range(4))
    assert len(result) == COUNT


def test_a_problem_with_a_paraphrase_drops_neither_the_row_nor_the_paraphrase(any_store):
    result = samples_of(
        any_store,
        "paraphrases",
        finish_paraphrases,
        questions(COUNT),
        bad={2: "", 3: "what is 3?"},
    )
    assert result[2].paraphrases == ("what is 2?", "2 is what, 1?", "")
    assert result[3].paraphrases == ("what is 3?", "3 is what, 1?", "what is 3?")
    assert len(result) == COUNT


def test_confidences_of_a_question_are_gathered_in_the_order_of_its_paraphrases(
    any_store, small_batches
):
    result = samples_of(
        any_store, "confidence", finish_confidences, questions(COUNT, paraphrases=3)
    )
    assert [sample.uuid for sample in result] == [f"id{row}" for row in range(COUNT)]
    for row, sample in enumerate(result):
        assert sample.paraphrases == tuple(paraphrase(row, w) for w in range(3))
        assert sample.confidences == tuple(confidence_of(row, w) for w in range(3))
        assert sample.num_manual is None


def test_a_question_the_step_failed_on_has_no_confidences_and_its_neighbours_have(any_store):
    result = samples_of(
        any_store, "confidence", finish_confidences, questions(COUNT, paraphrases=3), failed=[0, 7]
    )
    assert [len(sample.confidences) for sample in result] == [0, *[3] * 6, 0, *[3] * 3]
    assert result[7].paraphrases == tuple(paraphrase(7, w) for w in range(3))


def test_how_many_paraphrases_are_manual_is_handed_on(any_store):
    samples = questions(COUNT, paraphrases=3, num_manual=2)
    result = samples_of(any_store, "confidence", finish_confidences, samples)
    assert {sample.num_manual for sample in result} == {2}


def test_a_selection_that_found_fewer_paraphrases_has_as_many_confidences(any_store):
    """Two questions have two paraphrases, the others four."""
    short = {1, 4}
    samples = [questions(i + 1, 2 if i in short else 4, 2)[i] for i in range(6)]
    chosen = plan("confidence", num_paraphrases=4).model_copy(update={"from_selection": True})
    (run,) = make(any_store, chosen, samples=samples)
    put_confidences(run, range(6))
    merge_run(run)
    assert [len(s.confidences) for s in result_samples(run)] == [4, 2, 4, 4, 2, 4]
    assert [len(s.paraphrases) for s in result_samples(run)] == [4, 2, 4, 4, 2, 4]
