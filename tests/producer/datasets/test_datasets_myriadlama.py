"""`myriadlama` from files: the snapshot, names of runs, notes, refusals."""

import json
from pathlib import Path

import pytest

from common.errors import UsageError
from producer.datasets import Selection, open_dataset
from producer.prepare import prepare
from tests.common.storekit import all_files

DATA = Path(__file__).parents[4] / "shared" / "data"
REAL, SHOTS = DATA / "myriadlama_test_first200.jsonl", DATA / "myriadlama_fewshot5_train.jsonl"
real = pytest.mark.skipif(not REAL.exists(), reason="the real data is not here")

INSTRUCTION = "Based on the context, predict the [MASK] in the sentence in one word."


def fact(number, manual=5, auto=7):
    return {
        "uuid": f"fact-{number}",
        "answers": [f"gold {number}", "alias"],
        "manual_paraphrases": [f"{number} by hand {i} is [MASK]." for i in range(manual)],
        "auto_paraphrases": [f"[MASK]: {number} by model {i}." for i in range(auto)],
    }


@pytest.fixture
def facts(jsonl):
    return jsonl([fact(i) for i in range(7)], "facts.jsonl")


@pytest.fixture
def make_request(ask, facts):
    """A request for the facts that leaves every default to the data set."""

    def make(**changes):
        defaults = dict.fromkeys(("num_paraphrases", "layout", "positions", "max_new_tokens"))
        return ask(**({"dataset": "myriadlama", "data": facts} | defaults | changes))

    return make


def names(prepared):
    return [run.key.name for run in prepared.runs]


def test_runs_are_named_by_their_selection_as_in_published_results(make_request, store, jsonl):
    shots = jsonl([fact(i) | {"answer": "x"} for i in range(5)], "shots.jsonl")
    request = make_request(
        methods=("flex_attention", "origin", "avg"), few_shot=shots, num_few_shot=None
    )
    prepared = prepare(request, store)
    assert names(prepared) == ["flex_attention-m5a5s5", "origin-m5a5s5", "avg-m5a5s5"]


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"num_manual": 2, "num_auto": 0}, "flex_attention-m2a0s0"),
        ({"num_manual": 0, "num_auto": 3}, "flex_attention-m0a3s0"),
        ({"num_auto": 1}, "flex_attention-m5a1s0"),
        ({"layout": "shared"}, "flex_attention-m5a5s0"),
        ({"layout": "concat"}, "flex_attention-m5a5s0-concat"),
        ({"layout": "concat", "positions": "aligned"}, "flex_attention-m5a5s0-concat-aligned"),
        ({"positions": "sequential"}, "flex_attention-m5a5s0-sequential"),
    ],
)
def test_what_differs_from_the_default_is_spelt_out(make_request, store, changes, name):
    assert names(prepare(make_request(methods=("flex_attention",), **changes), store)) == [name]


def test_the_spec_has_the_defaults_of_the_data_set(make_request, store):
    (run,) = prepare(make_request(methods=("flex_attention",)), store).runs
    spec = run.spec
    assert (spec.layout, spec.positions) == ("shared", "aligned")
    assert (spec.max_new_tokens, spec.num_paraphrases) == (10, 10)
    assert spec.template.prompt("a [MASK]", [("b [MASK]", "c")]) == (
        f"{INSTRUCTION}\n\nQ: b [MASK]\nA: c\n\nQ: a [MASK]\nA:"
    )
    assert spec.template.predict(" Paris, France\n") == "Paris"


def test_what_is_said_goes_before_the_defaults(make_request, store):
    (run,) = prepare(make_request(max_new_tokens=3), store).runs
    assert run.spec.max_new_tokens == 3


def test_rows_hold_the_chosen_paraphrases_manual_ones_first(make_request, store):
    request = make_request(methods=("avg", "origin"), num_manual=2, num_auto=3)
    avg, origin = prepare(request, store).runs
    expected, _ = Selection(2, 3).choose(
        "fact-4", fact(4)["manual_paraphrases"], fact(4)["auto_paraphrases"]
    )
    sample = avg.read_samples([4])[0]
    assert (sample.uuid, sample.answers) == ("fact-4", ("gold 4", "alias"))
    assert (sample.paraphrases, sample.num_manual) == (expected, 2)
    assert sample.paraphrases[:2] == tuple(fact(4)["manual_paraphrases"][:2])
    first = origin.read_samples([4])[0]
    assert (first.paraphrases, first.num_manual) == (expected[:1], 1)
    assert origin.spec.num_paraphrases == 1


def test_without_manual_paraphrases_none_are_counted(make_request, store):
    runs = prepare(make_request(methods=("avg", "origin"), num_manual=0, num_auto=3), store).runs
    assert [run.read_samples([0])[0].num_manual for run in runs] == [0, 0]


def test_fewer_paraphrases_than_asked_for_are_taken_and_counted_aloud(make_request, store, jsonl):
    data = jsonl([fact(0), fact(1, auto=4), fact(2, manual=1), fact(3, auto=5)])
    prepared = prepare(make_request(data=data, methods=("avg", "origin")), store)
    samples = prepared.runs[0].read_samples(range(4))
    assert [(len(s.paraphrases), s.num_manual) for s in samples] == [
        (10, 5), (9, 5), (6, 1), (10, 5),
    ]  # fmt: skip
    (note,) = prepared.notes
    assert note.startswith("2 of 4 questions have fewer paraphrases than --num-manual 5 and")
    one = make_request(data=data, methods=("avg",), max_samples=1, overwrite=True)
    assert prepare(one, store).notes == ()


def test_a_question_without_paraphrases_of_the_chosen_kind_is_refused(make_request, store, jsonl):
    data = jsonl([fact(0), fact(1, auto=0), fact(2)])
    with pytest.raises(UsageError, match=r"row 2: there is no paraphrase for --num-manual 0 and"):
        prepare(make_request(data=data, num_manual=0, num_auto=4), store)
    assert all_files(store) == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"num_paraphrases": 5}, "--num-paraphrases 5 .* give --num-manual and --num-auto"),
        ({"num_manual": 0, "num_auto": 0}, "make 0 paraphrases"),
        ({"dataset": "quiz", "num_manual": 5}, "quiz has no manual .* give --num-paraphrases"),
        ({"dataset": "webqa_mini", "num_auto": 0}, "webqa_mini has no manual and automatic"),
    ],
)
def test_options_that_do_not_fit_the_data_set_are_refused(make_request, changes, reason):
    with pytest.raises(UsageError, match=reason):
        make_request(**changes)


@pytest.mark.parametrize(
    ("change", "column", "got"),
    [
        ({"uuid": None}, "uuid", "is missing"),
        ({"answers": None}, "answers", "is missing"),
        ({"manual_paraphrases": None}, "manual_paraphrases", "is missing"),
        ({"auto_paraphrases": "[MASK]"}, "auto_paraphrases", "is '[MASK]'"),
        ({"manual_paraphrases": ["a [MASK]", "b"]}, "manual_paraphrases", "text 2 has 0: 'b'"),
        ({"auto_paraphrases": ["[MASK] [MASK]"]}, "auto_paraphrases", "text 1 has 2"),
        ({"manual_paraphrases": [], "auto_paraphrases": []}, "manual_paraphrases", "is []"),
    ],
)
def test_a_bad_cell_is_named_and_nothing_is_left(make_request, store, jsonl, change, column, got):
    with pytest.raises(UsageError) as refused:
        prepare(make_request(data=jsonl([fact(0), fact(1) | change])), store)
    assert f"questions.jsonl, row 2: column {column!r} must " in str(refused.value)
    assert got in str(refused.value)
    assert all_files(store) == []


@real
def test_the_real_items_and_examples_are_in_the_snapshot_whole(make_request, store):
    request = make_request(
        data=REAL, few_shot=SHOTS, num_few_shot=None, methods=("flex_attention",)
    )
    prepared = prepare(request, store)
    (run,) = prepared.runs
    assert (run.key.name, run.spec.num_samples) == ("flex_attention-m5a5s5", 200)
    assert prepared.notes == ()
    assert run.spec.few_shot[0] == ("[MASK] is the higher-level concept of adit.", "tunnel")
    samples = run.read_samples(range(200))
    assert {(len(s.paraphrases), s.num_manual) for s in samples} == {(10, 5)}
    rows = [json.loads(line) for line in REAL.read_text(encoding="utf-8").splitlines()]
    assert [s.paraphrases[:5] for s in samples] == [tuple(r["manual_paraphrases"]) for r in rows]


@real
def test_real_items_have_fewer_automatic_paraphrases_than_fourteen(make_request, store):
    prepared = prepare(make_request(data=REAL, num_auto=10), store)
    lengths = [len(s.paraphrases) for s in prepared.runs[0].read_samples(range(200))]
    assert prepared.notes[0].startswith(f"{sum(n < 15 for n in lengths)} of 200 questions")


def test_the_fallback_examples_have_one_mask_each():
    examples = open_dataset("myriadlama", None).fallback_examples(5)
    assert len(examples) == 5
    assert all(text.count("[MASK]") == 1 and len(word.split()) == 1 for text, word in examples)
