"""producer.prepare.prepare: which runs start at once, which run waits for which, their names."""

import pytest

from common.errors import UsageError
from common.methods import METHODS
from common.planning.dependents import create_dependents
from common.store.waiting import list_dependents
from producer.prepare import prepare
from tests.common.stepkit import finish_confidences, finish_paraphrases, names
from tests.common.storekit import all_files

PACKED = {
    "flex_attention", "flex_attention_cross_manual", "flex_attention_causal",
    "flex_attention_length_corrected",
}  # fmt: skip
WEIGHTED = {"weighted_avg", "weighted_max"}
PLAIN = sorted(set(METHODS) - WEIGHTED - {"origin", "flex_attention_cross_manual"})


@pytest.fixture
def bare(jsonl):
    """Eleven questions without paraphrases."""
    rows = [{"question": f"question {i}?", "answers": [f"gold {i}"]} for i in range(11)]
    return jsonl(rows, "bare.jsonl")


@pytest.fixture
def facts(jsonl):
    """Seven facts with three manual and four automatic paraphrases."""
    rows = [
        {
            "uuid": f"f{i}",
            "answers": ["x"],
            "manual_paraphrases": [f"{i} by hand {w} [MASK]" for w in range(3)],
            "auto_paraphrases": [f"{i} by model {w} [MASK]" for w in range(4)],
        }
        for i in range(7)
    ]
    return jsonl(rows, "facts.jsonl")


def tree(runs):
    """The dependents of each run, by name."""
    return {run.key.name: tree(list_dependents(run)) for run in runs}


@pytest.mark.parametrize("method", PLAIN)
def test_with_paraphrases_a_method_begins_at_once(ask, store, method):
    assert tree(prepare(ask(methods=(method,)), store).runs) == {f"{method}-3": {}}


@pytest.mark.parametrize("method", sorted(WEIGHTED))
def test_with_paraphrases_a_weighted_method_waits_for_confidences(ask, store, method):
    prepared = prepare(ask(methods=("avg", method)), store)
    assert tree(prepared.runs) == {"avg-3": {}, "confidence-3": {f"{method}-3": {}}}
    assert names(prepared.all_runs) == ["avg-3", "confidence-3", f"{method}-3"]


@pytest.mark.parametrize("method", PLAIN)
def test_without_paraphrases_a_method_waits_for_paraphrases(ask, store, bare, method):
    runs = prepare(ask(data=bare, methods=(method,)), store).runs
    assert tree(runs) == {"paraphrases-3": {f"{method}-3": {}}}


def test_without_paraphrases_a_weighted_method_waits_for_both_one_after_the_other(
    ask, store, bare
):
    runs = prepare(ask(data=bare, methods=("weighted_max", "max", "weighted_avg")), store).runs
    later = {"max-3": {}, "confidence-3": {"weighted_max-3": {}, "weighted_avg-3": {}}}
    assert tree(runs) == {"paraphrases-3": later}


def test_origin_does_not_wait_for_paraphrases_and_is_asked_alone(ask, store, bare):
    prepared = prepare(ask(data=bare, methods=("avg", "origin")), store)
    assert tree(prepared.runs) == {"origin": {}, "paraphrases-3": {"avg-3": {}}}
    sent_runs = {tuple(name.rpartition("/")[2] for name in m.runs) for m in prepared.messages}
    assert sent_runs == {("origin",), ("paraphrases-3",)}


@pytest.mark.parametrize("changes", [{"methods": ("origin",)}, {"num_paraphrases": 1}])
def test_nothing_is_written_where_nothing_reads_it(ask, store, bare, changes):
    runs = prepare(ask(data=bare, **changes), store).runs
    assert [run.spec.method for run in runs] == list(changes.get("methods", ("avg",)))


@pytest.mark.parametrize(
    ("step", "paraphrases", "expected"),
    [
        ("paraphrases", False, {"paraphrases-5": {}}),
        ("confidence", False, {"paraphrases-5": {"confidence-5": {}}}),
        ("confidence", True, {"confidence-3": {}}),
    ],
)
def test_a_step_can_be_asked_for_alone(ask, store, bare, quiz, step, paraphrases, expected):
    data, width = (quiz, 3) if paraphrases else (bare, None)
    request = ask(data=data, num_paraphrases=width, methods=(), step=step)
    assert tree(prepare(request, store).runs) == expected


def test_paraphrases_are_asked_for_by_their_own_prompt_and_drawn(ask, store, bare):
    request = ask(
        data=bare, num_few_shot=2, few_shot=bare, max_new_tokens=7, methods=("avg", "origin")
    )
    origin, written = prepare(request, store).runs
    assert (origin.spec.max_new_tokens, len(origin.spec.few_shot)) == (7, 2)
    assert (written.spec.max_new_tokens, written.spec.few_shot) == (30, ())
    drawn = written.spec.sampling
    assert (drawn.temperature, drawn.top_p, drawn.num_draws) == (1.5, 0.9, 1)
    assert [len(exemplar) for exemplar in written.spec.exemplars] == [6] * 5
    assert written.spec.template != origin.spec.template
    assert (origin.spec.sampling, origin.spec.exemplars) == (None, None)


@pytest.mark.parametrize(("num_draws", "draws"), [(None, 100), (7, 7)])
def test_confidences_are_of_so_many_draws(ask, store, num_draws, draws):
    (run,) = prepare(ask(methods=("weighted_avg",), num_draws=num_draws), store).runs
    drawn = run.spec.sampling
    assert (drawn.temperature, drawn.top_p, drawn.num_draws) == (1, 1, draws)


def test_the_runs_of_a_selection_are_called_by_it_steps_too(ask, store, facts):
    request = ask(
        dataset="myriadlama", data=facts, num_paraphrases=None, num_manual=2, num_auto=3,
        layout=None, methods=("origin", "flex_attention_cross_manual", "weighted_avg"),
    )  # fmt: skip
    assert tree(prepare(request, store).runs) == {
        "origin-m2a3s0": {},
        "flex_attention_cross_manual-m2a3s0": {},
        "confidence-m2a3s0": {"weighted_avg-m2a3s0": {}},
    }


def test_dependents_of_a_selection_may_have_fewer_paraphrases_too(ask, store, facts):
    request = ask(
        dataset="myriadlama", data=facts, num_paraphrases=None, layout=None,
        methods=("weighted_avg",),
    )  # fmt: skip
    (confidence,) = prepare(request, store).runs
    finish_confidences(confidence)
    (weighted,) = create_dependents(confidence)
    sample = weighted.read_samples([6])[0]
    assert (len(sample.paraphrases), len(sample.confidences), sample.num_manual) == (7, 7, 3)


def test_every_method_is_planned_once_and_all_dependents_are_created(ask, store, bare):
    methods = tuple(sorted(set(METHODS) - {"flex_attention_cross_manual"}))
    prepared = prepare(ask(data=bare, methods=methods * 2), store)
    written = next(run for run in prepared.runs if run.spec.method == "paraphrases")
    finish_paraphrases(written)
    confidence = next(run for run in create_dependents(written) if run.spec.method == "confidence")
    finish_confidences(confidence)
    create_dependents(confidence)
    assert all(run.exists() for run in prepared.all_runs)
    planned = sorted(run.spec.method for run in prepared.all_runs)
    assert planned == sorted([*methods, "paraphrases", "confidence"])
    packed = {run.spec.method for run in prepared.all_runs if run.spec.layout}
    assert packed == PACKED - {"flex_attention_cross_manual"}


@pytest.mark.parametrize("paraphrases", [True, False])
def test_cross_manual_needs_manual_paraphrases_and_nothing_is_written(
    ask, store, bare, quiz, paraphrases
):
    request = ask(
        data=quiz if paraphrases else bare, methods=("origin", "flex_attention_cross_manual")
    )
    with pytest.raises(
        UsageError, match="flex_attention_cross_manual needs a data set that tells"
    ):
        prepare(request, store)
    assert all_files(store) == []


def test_some_questions_with_paraphrases_are_refused_with_the_row(ask, store, jsonl):
    rows = [{"question": f"q{i}?", "answers": ["a"]} for i in range(9)]
    rows[6]["paraphrases"] = ["p?", "r?"]
    data = jsonl(rows, "mixed.jsonl")
    with pytest.raises(UsageError, match=r"mixed.jsonl, row 7: the question has 3 paraphrases"):
        prepare(ask(data=data, methods=("origin", "avg")), store)
    assert all_files(store) == []


def test_some_questions_without_paraphrases_are_refused_with_the_row(ask, store, jsonl):
    rows = [
        {"question": f"q{i}?", "answers": ["a"], "paraphrases": ["p?", "r?"]} for i in range(9)
    ]
    del rows[6]["paraphrases"]
    data = jsonl(rows, "mixed.jsonl")
    with pytest.raises(UsageError, match=r"mixed.jsonl, row 7: avg was asked for 3 paraphrases"):
        prepare(ask(data=data, methods=("avg",)), store)
    assert all_files(store) == []


def test_one_paraphrase_less_than_the_question_alone_cannot_be_asked_for(ask, bare):
    with pytest.raises(UsageError, match="--num-paraphrases 1 is the question alone"):
        ask(data=bare, num_paraphrases=1, methods=(), step="paraphrases")
