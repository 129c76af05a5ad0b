"""producer.datasets: data sets by name, files in their place, and where examples come from."""

from dataclasses import replace

import pytest

from common.errors import UsageError
from common.prompts import QUESTION_ANSWERING
from producer.datasets import known_datasets, open_dataset
from producer.datasets.dataset import few_shot_from


def test_the_known_data_sets_are_those_of_the_issue():
    assert known_datasets() == ["graphquestions", "myriadlama", "pararel", "webqa", "webqa_mini"]


@pytest.mark.parametrize("name", known_datasets())
def test_a_known_data_set_offers_five_examples_and_says_where_from(name):
    dataset = open_dataset(name, None)
    assert (dataset.name, dataset.default_few_shot) == (name, 5)
    assert dataset.few_shot_origin


@pytest.mark.parametrize("name", ["webqa", "webqa_mini"])
def test_questions_and_answers_are_put_alike(name):
    assert open_dataset(name, None).template == QUESTION_ANSWERING


@pytest.mark.parametrize("name", ["webq", "files", "source", "", "../webqa", "os"])
def test_an_unknown_name_is_refused_with_the_known_ones_and_the_way_out(name):
    with pytest.raises(UsageError, match=r"\(.*, webqa, webqa_mini\); .*--data") as refused:
        open_dataset(name, None)
    assert repr(name) in str(refused.value)


def test_a_file_may_be_given_any_name_and_gets_the_bundled_examples(quiz):
    dataset = open_dataset("my-own", quiz)
    assert dataset.name == "my-own"
    assert dataset.template == QUESTION_ANSWERING
    assert [s.paraphrases[0] for s in dataset.samples()] == [f"question {i}?" for i in range(11)]
    assert dataset.few_shot(5) == open_dataset("webqa_mini", None).few_shot(5)


@pytest.mark.parametrize("name", ["webqa", "webqa_mini"])
def test_a_file_takes_the_place_of_a_data_sets_rows_and_of_nothing_else(name, quiz):
    dataset, named = open_dataset(name, quiz), open_dataset(name, None)
    assert next(dataset.samples()).paraphrases[0] == "question 0?"
    assert replace(dataset, rows=named.rows) == named


def test_a_data_set_can_be_read_twice(quiz):
    dataset = open_dataset("quiz", quiz)
    assert list(dataset.samples()) == list(dataset.samples())


@pytest.mark.parametrize(("count", "kept"), [(None, 3), (0, 0), (2, 2), (3, 3)])
def test_examples_are_the_first_rows_each_with_its_first_answer(jsonl, count, kept):
    rows = [{"question": f"q{i}?", "answers": [f"a{i}", "other"]} for i in range(3)]
    examples = [(f"q{i}?", f"a{i}") for i in range(3)]
    assert few_shot_from(jsonl(rows), count) == examples[:kept]
