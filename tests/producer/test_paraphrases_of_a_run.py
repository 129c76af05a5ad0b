"""--paraphrases RUN: one model's paraphrases for another, before and after they are merged."""

import pytest

from common.errors import UsageError
from common.planning.dependents import create_dependents, read_dependents
from common.store import merge_run, read_progress
from producer.datasets import open_dataset
from producer.datasets.hub import HubError
from producer.prepare import prepare
from tests.common.stepkit import (
    finish_confidences,
    finish_paraphrases,
    names,
    paraphrase,
    put_paraphrases,
    snapshot,
)
from tests.common.storekit import put_part

RUN = "quiz/owner--writer/paraphrases-4"


@pytest.fixture
def bare(jsonl):
    rows = [{"question": f"what is {i}?", "answers": [f"gold {i}"]} for i in range(11)]
    return jsonl(rows, "bare.jsonl")


@pytest.fixture
def written(ask, bare, store):
    """A run of three paraphrases by the model `owner/writer`, with no part yet."""
    request = ask(
        data=bare, model="owner/writer", methods=(), step="paraphrases", num_paraphrases=4
    )
    return prepare(request, store).runs[0]


@pytest.fixture
def borrow(ask, store):
    """`producer enqueue --paraphrases RUN` for the model `owner/model`."""

    def run(**changes):
        return prepare(ask(**({"data": None, "paraphrases": RUN} | changes)), store)

    return run


def test_runs_of_another_models_paraphrases_say_so_in_their_names(written, borrow):
    finish_paraphrases(written)
    prepared = borrow(methods=("origin", "avg", "weighted_max", "flex_attention"))
    assert names(prepared.all_runs) == [
        "origin", "avg-3-by-owner--writer", "flex_attention-3-by-owner--writer",
        "confidence-3-by-owner--writer", "weighted_max-3-by-owner--writer",
    ]  # fmt: skip
    assert {run.key.model for run in prepared.all_runs} == {"owner--model"}
    assert prepared.upstream.key == written.key


def test_the_writers_own_runs_are_called_as_always(written, borrow):
    finish_paraphrases(written)
    prepared = borrow(model="owner/writer", methods=("avg",))
    assert names(prepared.all_runs) == ["avg-3"]


def test_merged_paraphrases_become_a_snapshot_at_once_in_the_number_asked_for(written, borrow):
    finish_paraphrases(written, failed=[6])
    origin, avg = borrow(methods=("origin", "avg")).runs
    assert avg.read_samples([5])[0].paraphrases == tuple(paraphrase(5, w) for w in range(3))
    assert avg.read_samples([6])[0].paraphrases == ("what is 6?", "", "")
    assert origin.read_samples([6])[0].paraphrases == ("what is 6?",)
    assert avg.spec.num_samples == 11


def test_origin_is_the_same_run_from_the_file_and_from_the_paraphrases(
    written, borrow, ask, bare, store
):
    finish_paraphrases(written)
    (one,) = prepare(ask(data=bare, methods=("origin",)), store).runs
    (other,) = borrow(methods=("origin",)).runs
    assert one.record == other.record


def test_the_first_questions_alone(written, borrow):
    finish_paraphrases(written)
    (avg,) = borrow(max_samples=4).runs
    assert avg.spec.num_samples == 4


def test_before_the_merge_runs_are_noted_and_created_after_it(written, borrow):
    prepared = borrow(methods=("avg", "weighted_avg"))
    assert (prepared.runs, prepared.messages) == ((), ())
    assert len(prepared.all_runs) == 3
    assert not any(run.exists() for run in prepared.all_runs)
    finish_paraphrases(written)
    avg, confidence = create_dependents(written)
    finish_confidences(confidence)
    create_dependents(confidence)
    assert all(run.exists() for run in prepared.all_runs)
    assert avg.spec.model == "owner/model"


def test_planned_before_the_merge_or_after_they_are_the_same_runs(written, borrow):
    borrow()
    finish_paraphrases(written)
    (before,) = create_dependents(written)
    (after,) = borrow().runs
    assert before.record == after.record


def test_each_model_has_messages_for_its_own_runs_alone(written, borrow):
    """The messages of each model go to its own queue."""
    borrow()
    borrow(model="owner/writer", methods=("max",))
    finish_paraphrases(written)
    own = borrow(model="owner/writer", methods=("max",))
    requested = {name for message in own.messages for name in message.runs}
    assert requested == {"quiz/owner--writer/max-3"}


def test_numbers_of_paraphrases_asked_for_by_several_are_answered_apart(written, borrow):
    for width in (2, 4, 3):
        borrow(num_paraphrases=width)
    finish_paraphrases(written)
    messages = [m for width in (2, 3, 4) for m in borrow(num_paraphrases=width).messages]
    assert {tuple(message.runs) for message in messages} == {
        (f"quiz/owner--model/avg-{width}-by-owner--writer",) for width in (2, 3, 4)
    }


def test_a_partial_file_is_waited_out(written, borrow):
    put_paraphrases(written, range(4))
    merge_run(written, partial=True)
    assert borrow().runs == ()
    put_paraphrases(written, range(4, 11))
    assert borrow().runs[0].spec.num_samples == 11


def test_overwriting_reaches_runs_that_wait(written, borrow):
    finish_paraphrases(written)
    (avg,) = borrow().runs
    put_part(avg, range(11))
    assert read_progress(borrow().runs[0]).ok == 11
    assert read_progress(borrow(overwrite=True, max_new_tokens=9).runs[0]).ok == 0
    written.store.delete(written.feather)
    for path in written.store.list(written.file("parts")):
        written.store.delete(path)
    with pytest.raises(UsageError, match="max_new_tokens is '9' there and '20' here"):
        borrow()
    assert not borrow(overwrite=True).all_runs[0].exists()
    assert read_dependents(written)[0].spec.max_new_tokens == 20


REFUSED = {
    "not there": ({"paraphrases": "quiz/m/paraphrases-5"}, "quiz/m/paraphrases-5 is not in the"),
    "no run name": ({"paraphrases": "paraphrases-4"}, "is not of the form dataset/model/name"),
    "out of the store": ({"paraphrases": "../../x"}, "may hold letters, digits"),
    "another data set": ({"dataset": "webqa_mini"}, "is of the data set quiz, --dataset is webqa"),
    "too few": ({"num_paraphrases": 5}, "has 4 paraphrases of a question, --num-paraphrases asks"),
    "too few by default": ({"num_paraphrases": None}, "has 4 paraphrases"),
    "part of what is not merged": ({"max_samples": 3}, "--max-samples needs the result of"),
    "no manual paraphrases": (
        {"methods": ("origin", "flex_attention_cross_manual")}, "tells manual paraphrases",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_used_is_refused_and_nothing_is_written(
    written, borrow, store, changes, reason
):
    before = snapshot(store)
    with pytest.raises(UsageError, match=reason):
        borrow(**changes)
    assert snapshot(store) == before


def test_a_run_that_wrote_no_paraphrases_is_refused(borrow, ask, store):
    prepare(ask(), store)
    with pytest.raises(UsageError, match=r"is a run of avg; name one of `producer paraphrase`"):
        borrow(paraphrases="quiz/owner--model/avg-3")


def test_questions_come_from_the_run_so_a_file_is_refused(borrow, quiz):
    with pytest.raises(
        UsageError, match=rf"--paraphrases {RUN} brings .* leave out --data {quiz}"
    ):
        borrow(data=quiz)


def test_examples_of_the_hub_are_replaced_as_for_questions_of_a_file(
    ask, bare, store, monkeypatch
):
    """Questions of a run need no hub, as those of a file."""

    def fail(*_, **__):
        raise HubError("the hub is away")

    monkeypatch.setattr("producer.datasets.hub.load_split", fail)
    options = {"dataset": "webqa", "num_few_shot": None, "num_paraphrases": 3}
    (written,) = prepare(ask(data=bare, methods=(), step="paraphrases", **options), store).runs
    finish_paraphrases(written)
    prepared = prepare(ask(data=None, paraphrases=str(written.key), **options), store)
    assert "5 bundled ones instead of" in prepared.notes[0]
    assert len(prepared.runs[0].spec.few_shot) == 5


def test_the_merged_file_is_a_question_file_too(written, ask, store, tmp_path):
    finish_paraphrases(written)
    path = tmp_path / "store" / written.feather
    samples = list(open_dataset("quiz", path).samples())
    assert (samples[7].paraphrases[0], samples[7].answers) == ("what is 7?", ("gold 7",))
    assert samples[7].uuid == written.read_samples([7])[0].uuid
    assert samples[10].paraphrases == tuple(paraphrase(10, w) for w in range(4))
    (avg,) = prepare(ask(data=path, num_paraphrases=4), store).runs
    assert avg.read_samples(range(11)) == samples


def test_as_a_file_a_question_without_paraphrases_is_refused_by_its_row(
    written, ask, store, tmp_path
):
    finish_paraphrases(written, failed=[6])
    path = tmp_path / "store" / written.feather
    with pytest.raises(UsageError, match=r"paraphrases-4.feather, row 7: avg .* has 1 in all"):
        prepare(ask(data=path), store)
