"""producer.prepare.prepare: where few-shot examples come from, and how many."""

import datasets
import pytest

from common.errors import UsageError
from producer.datasets import open_dataset
from producer.prepare import prepare
from tests.common.storekit import all_files

BUNDLED = tuple(open_dataset("webqa_mini", None).few_shot(5))
FROM_FILE = tuple((f"example {i}?", f"e{i}") for i in range(3))


@pytest.fixture
def examples(jsonl):
    rows = [{"question": q, "answers": [a, "another"]} for q, a in FROM_FILE]
    return jsonl(rows, "examples.jsonl")


def few_shot(prepared):
    (run,) = prepared.runs
    return run.spec.few_shot, prepared.notes


@pytest.mark.parametrize(("count", "kept"), [(None, 3), (0, 0), (1, 1), (3, 3)])
def test_a_file_of_examples_is_taken_in_its_order_with_first_answers(
    ask, store, examples, count, kept
):
    request = ask(few_shot=examples, num_few_shot=count)
    assert few_shot(prepare(request, store)) == (FROM_FILE[:kept], ())


def test_a_file_with_too_few_examples_is_refused_with_both_numbers(ask, store, examples):
    with pytest.raises(UsageError, match=r"--few-shot .*examples.jsonl has 3 rows.* 4"):
        prepare(ask(few_shot=examples, num_few_shot=4), store)
    assert all_files(store) == []


@pytest.mark.parametrize(("count", "kept"), [(None, 5), (0, 0), (2, 2), (5, 5)])
def test_a_bundled_data_set_brings_five_or_as_many_as_asked(ask, store, count, kept):
    request = ask(dataset="webqa_mini", data=None, num_few_shot=count)
    assert few_shot(prepare(request, store)) == (BUNDLED[:kept], ())


@pytest.mark.parametrize("dataset", ["webqa_mini", "my-own"])
@pytest.mark.parametrize(("count", "kept"), [(None, 5), (0, 0), (2, 2)])
def test_a_file_of_questions_gets_the_bundled_examples_too(ask, store, dataset, count, kept):
    request = ask(dataset=dataset, num_few_shot=count)
    assert few_shot(prepare(request, store)) == (BUNDLED[:kept], ())


@pytest.mark.parametrize("data", [{"data": None}, {}], ids=["bundled questions", "a file"])
def test_more_examples_than_are_bundled_are_refused_with_both_numbers(ask, store, data):
    with pytest.raises(UsageError) as refused:
        prepare(ask(dataset="webqa_mini", num_few_shot=7, **data), store)
    assert "5" in str(refused.value)
    assert "7" in str(refused.value)
    assert all_files(store) == []


@pytest.fixture
def hub(monkeypatch):
    """A hub with 37 examples."""
    rows = [{"question": f"train {i}?", "answers": [f"t{i}"]} for i in range(37)]
    train = datasets.Dataset.from_list(rows)
    monkeypatch.setattr("producer.datasets.hub._hub_is_known", lambda: True)
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: train)


@pytest.fixture
def no_hub(monkeypatch):
    def fail(*_, **__):
        raise ConnectionError("no route to host")

    monkeypatch.setattr("producer.datasets.hub._hub_is_known", lambda: True)
    monkeypatch.setattr(datasets, "load_dataset", fail)


@pytest.mark.parametrize(("count", "kept"), [(None, 5), (2, 2)])
def test_a_file_in_place_of_a_hub_data_set_takes_its_examples_from_the_hub(
    ask, store, hub, count, kept
):
    examples, notes = few_shot(prepare(ask(dataset="webqa", num_few_shot=count), store))
    assert [q.partition(" ")[0] for q, _ in examples] == ["train"] * kept
    assert notes == ()


def test_without_a_hub_bundled_examples_are_taken_and_a_note_says_so(ask, store, no_hub):
    examples, (note,) = few_shot(prepare(ask(dataset="webqa", num_few_shot=None), store))
    assert examples == BUNDLED
    assert "5 bundled ones instead of the train split" in note
    assert "no route to host" in note
    assert "--few-shot" in note


def test_examples_that_were_asked_for_are_never_replaced(ask, store, no_hub):
    with pytest.raises(UsageError, match="no route to host"):
        prepare(ask(dataset="webqa", num_few_shot=5), store)
    assert all_files(store) == []


def test_without_a_hub_there_are_no_hub_questions(ask, store, no_hub):
    request = ask(dataset="webqa", data=None, num_few_shot=None, methods=("origin",))
    with pytest.raises(UsageError, match=r"no route to host.*--data"):
        prepare(request, store)
    assert all_files(store) == []


def test_no_examples_need_no_hub(ask, store, no_hub):
    assert few_shot(prepare(ask(dataset="webqa", num_few_shot=0), store)) == ((), ())


def test_a_file_of_examples_needs_no_hub(ask, store, no_hub, examples):
    request = ask(dataset="webqa", few_shot=examples, num_few_shot=None)
    assert few_shot(prepare(request, store)) == (FROM_FILE, ())
