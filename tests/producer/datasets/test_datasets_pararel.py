"""`pararel` and `graphquestions`: named data sets whose questions come from a file alone."""

from pathlib import Path

import pytest

from common.errors import UsageError
from common.prompts import QUESTION_ANSWERING
from producer.datasets import open_dataset
from producer.prepare import prepare
from tests.common.storekit import all_files

DATA = Path(__file__).parents[4] / "shared" / "data"
PARAREL = DATA / "pararel_trex_500.jsonl"
GRAPH = DATA / "graphquestions_test_paraphrases.jsonl"
real = pytest.mark.skipif(not GRAPH.exists(), reason="the real data is not here")


@pytest.fixture
def make_request(ask):
    """A request that leaves every default to the data set."""

    def make(**changes):
        defaults = dict.fromkeys(("num_paraphrases", "layout", "positions", "max_new_tokens"))
        return ask(**(defaults | changes))

    return make


def fact(number, paraphrases=6):
    return {
        "uuid": f"fact-{number}",
        "answers": [f"gold {number}"],
        "paraphrases": [f"{number} put so {i} is [MASK]." for i in range(paraphrases)],
    }


def group(number, **changes):
    """Six paraphrases, each in two spellings."""
    texts = [
        {"qid": f"{number}000{level}0{spelling}", "text": f"{number} asked so {level} {spelling}"}
        for level in range(6)
        for spelling in range(2)
    ]
    whole = {
        "id": f"gq{number}", "answers": ["gold"], "function": "none", "n_question_level": 6,
        "paraphrases": texts,
    }  # fmt: skip
    return whole | changes


@pytest.mark.parametrize("name", ["pararel", "graphquestions"])
def test_without_a_file_it_is_said_where_to_get_it_and_what_it_holds(make_request, store, name):
    with pytest.raises(UsageError, match=rf"--dataset {name} .* --data .*paraphrases.*github"):
        prepare(make_request(dataset=name, data=None), store)
    assert all_files(store) == []


def test_sentences_with_a_mask_are_predicted_in_one_word(make_request, store, jsonl):
    data = jsonl([fact(0), fact(1)])
    request = make_request(
        dataset="pararel", data=data, methods=("flex_attention",), num_few_shot=None
    )
    (run,) = prepare(request, store).runs
    assert run.key.name == "flex_attention-5"
    assert (run.spec.layout, run.spec.max_new_tokens) == ("shared", 10)
    assert run.spec.template == open_dataset("myriadlama", None).template
    assert len(run.spec.few_shot) == 5
    assert all("[MASK]" in text for text, _ in run.spec.few_shot)
    sample = run.read_samples([1])[0]
    assert sample.paraphrases == tuple(fact(1)["paraphrases"][:5])
    assert (sample.uuid, sample.num_manual) == ("fact-1", None)


def test_the_number_of_paraphrases_is_asked_for_as_elsewhere(make_request, store, jsonl):
    request = make_request(dataset="pararel", data=jsonl([fact(0)]), num_paraphrases=3)
    (run,) = prepare(request, store).runs
    assert run.key.name == "avg-3"
    with pytest.raises(UsageError, match="pararel has no manual and automatic paraphrases"):
        make_request(dataset="pararel", num_manual=3)


def test_examples_of_a_file_show_their_first_sentence(make_request, store, jsonl):
    shots = jsonl([fact(7), {"answer": "x", "paraphrases": ["a [MASK]"]}], "shots.jsonl")
    request = make_request(
        dataset="pararel", data=jsonl([fact(0)]), few_shot=shots, num_few_shot=None
    )
    (run,) = prepare(request, store).runs
    assert run.spec.few_shot == (("7 put so 0 is [MASK].", "gold 7"), ("a [MASK]", "x"))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"paraphrases": None}, "column 'paraphrases' must be a list of texts .*, is missing"),
        ({"paraphrases": []}, "column 'paraphrases' must be .* at least one"),
        ({"paraphrases": ["a", "[MASK]"]}, r"column 'paraphrases' .* text 1 has 0: 'a'"),
        ({"answers": []}, "column 'answers'"),
        ({"uuid": 3}, "column 'uuid'"),
    ],
)
def test_a_bad_fact_is_named(make_request, store, jsonl, change, reason):
    data = jsonl([fact(0), fact(1) | change])
    with pytest.raises(UsageError, match=rf"questions.jsonl, row 2: {reason}"):
        prepare(make_request(dataset="pararel", data=data), store)
    assert all_files(store) == []


def test_a_group_gives_one_text_for_each_paraphrase(make_request, store, jsonl):
    request = make_request(dataset="graphquestions", data=jsonl([group(12)]), num_paraphrases=6)
    (run,) = prepare(request, store).runs
    sample = run.read_samples([0])[0]
    assert sample.paraphrases == tuple(f"12 asked so {level} 0" for level in range(6))
    assert sample.uuid == "gq12"


def test_groups_are_questions_and_answers_in_every_default(make_request, store, jsonl):
    request = make_request(
        dataset="graphquestions", data=jsonl([group(1)]), methods=("flex_attention",)
    )
    (run,) = prepare(request, store).runs
    assert run.key.name == "flex_attention-5"
    assert (run.spec.layout, run.spec.max_new_tokens) == ("concat", 20)
    assert run.spec.template == QUESTION_ANSWERING


def test_groups_that_are_not_closed_book_are_skipped_and_counted(make_request, store, jsonl):
    data = jsonl(
        [
            group(1),
            group(2, function="count", answers=[]),
            group(3, n_question_level=4),
            group(4, answers=["a", "b", "c", "d"]),
            group(5, answers=["a", "b", "c"], n_question_level=5),
        ]
    )
    prepared = prepare(make_request(dataset="graphquestions", data=data), store)
    samples = prepared.runs[0].read_samples([0, 1])
    assert [sample.uuid for sample in samples] == ["gq1", "gq5"]
    assert prepared.notes == (
        "3 of 5 rows skipped: not closed-book (function none, at most 3 answers, at least 5 "
        "question-level paraphrases)",
    )


def test_a_file_in_which_all_is_skipped_is_refused(make_request, store, jsonl):
    data = jsonl([group(2, function="count"), group(3, function="count")])
    with pytest.raises(UsageError, match="graphquestions has no questions: 2 of 2 rows"):
        prepare(make_request(dataset="graphquestions", data=data), store)
    assert all_files(store) == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"function": None}, "column 'function' .* is missing"),
        ({"n_question_level": "6"}, "column 'n_question_level' must be a whole number, is '6'"),
        ({"id": None}, "column 'id' .* is missing"),
        ({"paraphrases": ["a"]}, r"column 'paraphrases' must be a list of qid \(a number\)"),
        ({"paraphrases": [{"text": "a"}]}, "column 'paraphrases' must be a list of qid"),
        ({"paraphrases": [{"qid": "100"}]}, "column 'text' .* is missing"),
    ],
)
def test_a_bad_group_is_named(make_request, store, jsonl, change, reason):
    data = jsonl([group(1), group(2) | change])
    with pytest.raises(UsageError, match=rf"questions.jsonl, row 2: {reason}"):
        prepare(make_request(dataset="graphquestions", data=data), store)
    assert all_files(store) == []


@real
def test_the_closed_book_subset_has_99_groups_of_at_least_five_paraphrases(make_request, store):
    prepared = prepare(make_request(dataset="graphquestions", data=GRAPH), store)
    (run,) = prepared.runs
    assert run.spec.num_samples == 99
    assert prepared.notes[0].startswith("151 of 250 rows skipped: not closed-book")
    assert {len(s.paraphrases) for s in run.read_samples(range(99))} == {5}


@real
def test_all_500_facts_have_five_paraphrases(make_request, store):
    (run,) = prepare(make_request(dataset="pararel", data=PARAREL), store).runs
    assert run.spec.num_samples == 500
