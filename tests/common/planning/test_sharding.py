"""common.planning.sharding: which runs share one prefill, and the messages for them."""

import pytest

from common.messages import MAX_RUNS
from common.planning.sharding import messages_for, sharing_runs
from common.run import share_prefill
from tests.common.stepkit import DRAWS, finish_confidences, make, names, plan, questions
from tests.common.storekit import put_part

CONCAT = {"layout": "concat", "positions": "sequential"}
SHARED = {"layout": "shared", "positions": "aligned"}


def together(*planned):
    return share_prefill([each.spec for each in planned])


def fused(layout, **changes):
    return plan("flex_attention", name=f"flex-{layout['layout']}", **layout, **changes)


@pytest.mark.parametrize("layout", [CONCAT, SHARED], ids=["concat", "shared"])
def test_methods_on_the_same_paraphrases_share_and_origin_joins_any(layout):
    assert together(plan("origin"), plan("avg"), fused(layout), plan("majority"))


def test_two_layouts_or_two_positions_of_one_data_set_do_not_share():
    aligned = {"layout": "concat", "positions": "aligned"}
    assert not together(fused(CONCAT), fused(SHARED))
    assert not together(fused(CONCAT), fused(aligned))
    assert together(fused(CONCAT), plan("avg"))


def test_other_numbers_of_paraphrases_do_not_share():
    """The engine reads one number of paraphrases in a call: avg-3 would be answered from five."""
    assert not together(plan("avg"), plan("max", num_paraphrases=5))
    assert not together(plan("avg"), fused(CONCAT, num_paraphrases=5))
    assert together(plan("origin"), plan("avg", num_paraphrases=5))


@pytest.mark.parametrize("step", ["confidence", "paraphrases"])
def test_steps_never_share_with_answers(step):
    others = [plan("origin"), plan("avg"), plan("weighted_avg"), fused(CONCAT)]
    assert not any(together(plan(step), other) for other in others)
    assert not together(plan("confidence"), plan("paraphrases"))


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "owner/other"}, {"model_source": "elsewhere"}, {"dtype": "bfloat16"},
        {"few_shot": ()}, {"max_new_tokens": 21}, {"num_samples": 8}, {"sampling": DRAWS},
        {"exemplars": (("q", "w"),)},
    ],
    ids=lambda changes: next(iter(changes)),
)  # fmt: skip
def test_whatever_else_the_engine_is_told_keeps_runs_apart(changes):
    assert not together(plan("avg"), plan("max", **changes))


@pytest.fixture
def runs(any_store):
    """Runs of two layouts and a step, of the same eleven questions."""
    plans = [plan("origin"), fused(CONCAT), plan("avg"), fused(SHARED), plan("confidence")]
    return make(any_store, *plans, samples=questions(11, paraphrases=3))


def test_each_run_is_in_one_group(runs):
    groups = [names(group) for group in sharing_runs(runs)]
    assert groups == [["origin-3", "flex-concat", "avg-3"], ["flex-shared"], ["confidence-3"]]


def rows_by_runs(messages):
    rows: dict = {}
    for message in messages:
        key = tuple(name.rpartition("/")[2] for name in message.runs)
        rows.setdefault(key, []).append(message.row_numbers())
    return rows


def test_messages_are_of_the_size_that_runs_were_made_with(runs):
    shards = [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10]]
    assert rows_by_runs(messages_for(runs)) == {
        ("origin-3", "flex-concat", "avg-3"): shards,
        ("flex-shared",): shards,
        ("confidence-3",): shards,
    }


def test_what_is_there_is_not_asked_for(runs):
    origin, concat, avg, shared, confidence = runs
    for run, rows in ((origin, range(11)), (concat, [0, 1, 2]), (avg, [2, 3]), (shared, [10])):
        put_part(run, rows)
    finish_confidences(confidence)
    assert rows_by_runs(messages_for(runs)) == {
        ("flex-concat", "avg-3"): [[4, 5, 6, 7], [8, 9, 10]],
        ("flex-concat",): [[3]],
        ("avg-3",): [[0, 1]],
        ("flex-shared",): [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]],
    }


def test_nothing_missing_gives_no_message(runs):
    *answering, confidence = runs
    for run in answering:
        put_part(run, range(11))
    finish_confidences(confidence)
    assert list(messages_for(runs)) == []
    assert list(messages_for([])) == []


def test_more_runs_than_a_message_names_go_into_several(store):
    """So many runs may depend on one run of paraphrases, planned by several producers."""
    plans = [plan("avg", name=f"avg-{number}") for number in range(2 * MAX_RUNS + 3)]
    runs = make(store, *plans, samples=questions(5, paraphrases=3))
    messages = list(messages_for(runs))
    assert [len(message.runs) for message in messages] == [
        MAX_RUNS,
        MAX_RUNS,
        MAX_RUNS,
        MAX_RUNS,
        3,
        3,
    ]
    assert {name for message in messages for name in message.runs} == {str(r.key) for r in runs}
