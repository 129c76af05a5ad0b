"""A request whose steps exist takes them as they are, refuses other options for them, and never
overwrites them: only the command of a step does."""

import pytest

from common.errors import UsageError
from common.planning.dependents import create_dependents
from common.run import RunKey
from common.store import merge_run, read_progress
from producer.prepare import prepare
from tests.common.stepkit import finish_confidences, finish_paraphrases, names, snapshot
from tests.common.storekit import put_part


@pytest.fixture
def bare(jsonl):
    """Eleven questions without paraphrases."""
    rows = [{"question": f"question {i}?", "answers": [f"gold {i}"]} for i in range(11)]
    return jsonl(rows, "bare.jsonl")


@pytest.fixture
def paraphrase(ask, bare, store):
    """`producer paraphrase`: its prepared runs."""

    def run(**changes):
        return prepare(ask(data=bare, methods=(), step="paraphrases", **changes), store)

    return run


@pytest.fixture
def confidence(ask, store):
    """`producer confidence`: its prepared runs."""

    def run(**changes):
        return prepare(ask(methods=(), step="confidence", **changes), store)

    return run


@pytest.fixture
def enqueue(ask, bare, store):
    """`producer enqueue` on questions without paraphrases."""

    def run(*methods, **changes):
        return prepare(ask(**({"data": bare, "methods": methods or ("avg",)} | changes)), store)

    return run


def test_paraphrases_drawn_otherwise_are_taken_as_they_are(paraphrase, enqueue):
    (made,) = paraphrase(temperature=0.7, top_p=0.5).runs
    (taken,) = enqueue().runs
    assert taken.record == made.record
    assert (taken.spec.sampling.temperature, taken.spec.sampling.top_p) == (0.7, 0.5)
    assert names(paraphrase().runs) == ["paraphrases-3"]


@pytest.mark.parametrize("sampling", [{"temperature": 0.8}, {"top_p": 0.9}])
def test_paraphrases_drawn_with_another_sampling_are_refused(paraphrase, store, sampling):
    paraphrase(temperature=0.7, top_p=0.5)
    before = snapshot(store)
    match = r"sampling\.t\w+ is .* Give --overwrite to `producer par"
    with pytest.raises(UsageError, match=match):
        paraphrase(**sampling)
    assert snapshot(store) == before


def test_confidences_of_other_draws_are_taken_as_they_are_unless_the_request_names_draws(
    confidence, ask, store
):
    (made,) = confidence(num_draws=7, temperature=0.5).runs
    request = ask(methods=("weighted_avg",))
    assert prepare(request, store).runs[0].record == made.record
    with pytest.raises(
        UsageError, match=r"confidence-3 exists with another .*: sampling\.\w+ is "
    ):
        prepare(ask(methods=("weighted_avg",), num_draws=8), store)


def test_weighted_methods_share_messages_with_the_others_once_confidences_are_merged(
    confidence, ask, store
):
    """Then they also share a prefill and single answers. Before, their messages come later."""
    request = ask(methods=("per_prompt", "weighted_avg", "weighted_max"))

    def sent_together():
        messages = prepare(request, store).messages
        return {tuple(RunKey.parse(run).name for run in message.runs) for message in messages}

    (measured,) = confidence().runs
    assert sent_together() == {("per_prompt-3",), ("confidence-3",)}
    finish_confidences(measured)
    assert sent_together() == {("per_prompt-3", "weighted_avg-3", "weighted_max-3")}


def test_overwriting_answers_keeps_the_steps_they_are_made_of(enqueue):
    origin, written = enqueue("origin", "avg", "weighted_avg").runs
    finish_paraphrases(written)
    avg, confidence = create_dependents(written)
    finish_confidences(confidence)
    (weighted,) = create_dependents(confidence)
    for run in (origin, avg, weighted):
        put_part(run, range(11))
        merge_run(run)
    again = enqueue("origin", "avg", "weighted_avg", overwrite=True)
    states = {run.key.name: read_progress(run).state for run in again.all_runs}
    assert states == {
        "origin": "queued", "paraphrases-3": "merged", "avg-3": "queued",
        "confidence-3": "merged", "weighted_avg-3": "queued",
    }  # fmt: skip
    sent_runs = sorted({name.rpartition("/")[2] for m in again.messages for name in m.runs})
    assert sent_runs == ["avg-3", "origin", "weighted_avg-3"]


def test_overwriting_with_other_options_creates_dependents_anew(enqueue):
    (written,) = enqueue().runs
    finish_paraphrases(written)
    put_part(create_dependents(written)[0], range(11))
    again = enqueue(overwrite=True, max_new_tokens=9)
    avg = again.all_runs[1]
    assert (avg.spec.max_new_tokens, read_progress(avg).state) == (9, "queued")


def test_a_dependent_that_exists_with_other_options_is_refused_at_once(enqueue, store):
    (written,) = enqueue().runs
    finish_paraphrases(written)
    create_dependents(written)
    before = snapshot(store)
    with pytest.raises(UsageError, match=r"avg-3 exists with another .*: max_new_tokens is '20'"):
        enqueue(max_new_tokens=9)
    assert snapshot(store) == before


@pytest.mark.parametrize("fault", ["a bad row", "a step with other draws"])
def test_a_refused_overwrite_has_deleted_nothing(enqueue, confidence, bare, store, fault):
    (written,) = enqueue("avg", "weighted_avg").runs
    finish_paraphrases(written)
    avg = create_dependents(written)[0]
    put_part(avg, range(11))
    before = snapshot(store)
    changes = {"num_draws": 5}
    if fault == "a bad row":
        bare.write_text(bare.read_text() + '{"question": "q?"}\n')
        changes = {}
    with pytest.raises(UsageError, match=r"column 'answers'|confidence-3 exists"):
        enqueue("avg", "weighted_avg", overwrite=True, **changes)
    assert snapshot(store) == before


def test_producer_paraphrase_overwrites_its_own_step(paraphrase):
    (run,) = paraphrase(temperature=0.7).runs
    finish_paraphrases(run)
    (kept,) = paraphrase().runs
    assert read_progress(kept).state == "merged"
    (anew,) = paraphrase(overwrite=True).runs
    assert (anew.spec.sampling.temperature, read_progress(anew).state) == (1.5, "queued")
    assert not anew.store.exists(anew.feather)


def test_a_damaged_step_can_be_overwritten(paraphrase, store):
    (run,) = paraphrase().runs
    store.write_bytes(run.file("run.json"), b"{")
    with pytest.raises(UsageError, match="not a run record"):
        paraphrase()
    (anew,) = paraphrase(overwrite=True).runs
    assert anew.spec.sampling.temperature == 1.5


def test_producer_confidence_overwrites_its_own_step_and_not_the_paraphrases(
    confidence, ask, bare, store
):
    (written,) = confidence(data=bare).runs
    finish_paraphrases(written)
    (measured,) = create_dependents(written)
    finish_confidences(measured)
    again = confidence(data=bare, overwrite=True, temperature=0.5)
    assert [read_progress(run).state for run in again.all_runs] == ["merged", "queued"]
    assert again.all_runs[1].spec.sampling.temperature == 0.5


def test_asking_again_after_the_merge_sends_the_dependents(enqueue, store):
    written = enqueue("origin", "avg").runs[1]
    finish_paraphrases(written)
    again = enqueue("origin", "avg")
    assert names(again.runs) == ["origin", "paraphrases-3", "avg-3"]
    sent_runs = {tuple(name.rpartition("/")[2] for name in m.runs) for m in again.messages}
    assert sent_runs == {("origin", "avg-3")}


def test_asking_again_merges_a_complete_step_that_nobody_merged(enqueue):
    written = enqueue().runs[0]
    finish_paraphrases(written)
    written.store.delete(written.feather)
    assert names(enqueue().runs) == ["paraphrases-3", "avg-3"]


def test_dependents_of_other_requests_are_not_sent_again(enqueue):
    """Another producer has sent them."""
    written = enqueue("max").runs[0]
    finish_paraphrases(written)
    again = enqueue("avg")
    assert names(again.runs) == ["paraphrases-3", "avg-3"]
    assert {name.rpartition("/")[2] for m in again.messages for name in m.runs} == {"avg-3"}
