"""common.planning.dependents: runs made of the result of another run, once, whoever is last."""

import pytest

from common.errors import UsageError
from common.planning.dependents import (
    create_dependents,
    create_with_dependents,
    delete_runs,
    merge_if_complete,
    note_dependents,
    read_dependents,
)
from common.planning.plan import RunPlan
from common.store import list_runs, merge_run, read_progress
from tests.common.stepkit import (
    confidence_of,
    finish_confidences,
    finish_paraphrases,
    make,
    names,
    paraphrase,
    plan,
    put_confidences,
    put_paraphrases,
    questions,
    snapshot,
)
from tests.common.storekit import put_part

LATER = [plan("avg"), plan("max")]
NOTE = "quiz/owner--model/avg-3.after/owner--model/paraphrases-3.json"


@pytest.fixture
def written(any_store):
    """A run of paraphrases of seven questions, with two dependents and no part yet."""
    (run,) = make(any_store, plan("paraphrases", LATER), samples=questions(7))
    return run


def test_dependents_are_noted_and_not_made_before_there_is_a_result(written, any_store):
    assert create_dependents(written) == []
    put_paraphrases(written, range(4))
    assert create_dependents(written) == []
    assert read_dependents(written) == LATER
    assert [run.key for run in list_runs(any_store)] == [written.key]


def test_the_dependents_of_a_merged_run_are_created(written):
    finish_paraphrases(written)
    made = create_dependents(written)
    assert names(made) == ["avg-3", "max-3"]
    assert [run.spec.num_samples for run in made] == [7, 7]
    sample = made[0].read_samples([5])[0]
    assert sample.paraphrases == (paraphrase(5, 0), paraphrase(5, 1), paraphrase(5, 2))
    assert (sample.uuid, sample.answers) == ("id5", ("gold 5",))


def test_creating_dependents_twice_makes_nothing_new_and_keeps_what_is_done(written, any_store):
    finish_paraphrases(written)
    first = create_dependents(written)
    put_part(first[0], range(3))
    before = snapshot(any_store)
    assert names(create_dependents(written)) == names(first)
    assert snapshot(any_store) == before


def test_a_dependent_says_on_which_run_with_which_fingerprint_it_depends(written):
    finish_paraphrases(written)
    provenance = create_dependents(written)[0].record.provenance
    expected = f"quiz/owner--model/paraphrases-3@{written.spec.fingerprint}"
    assert provenance == {
        "host": "here", "shard_size": 4, "depends_on": expected, "depends_on_attempt": 1,
    }  # fmt: skip


def test_a_dependent_planned_after_the_merge_is_made_at_once(any_store):
    step = plan("paraphrases")
    (run,) = make(any_store, step, samples=questions(7))
    finish_paraphrases(run)
    later = step.model_copy(update={"dependents": (plan("avg"),)})
    assert names(make(any_store, later, samples=questions(7))) == ["paraphrases-3", "avg-3"]


def test_a_complete_run_that_nobody_merged_is_merged_and_its_dependents_are_created(
    written, any_store
):
    """Its worker died between its last part and the merge, and the message was lost."""
    put_paraphrases(written, range(7))
    assert names(create_dependents(written)) == ["avg-3", "max-3"]
    assert read_progress(written).state == "merged"


def test_a_partial_file_gives_no_dependents_but_the_whole_one_does(written):
    """Dependents of a partial file would have other samples than those of the whole file."""
    put_paraphrases(written, [0, 1, 2, 6])
    merge_run(written, partial=True)
    assert not merge_if_complete(written)
    assert create_dependents(written) == []
    put_paraphrases(written, [3, 4, 5])
    made = create_dependents(written)
    assert [run.spec.num_samples for run in made] == [7, 7]
    assert merge_run(written).partial is False


def test_producers_that_plan_different_dependents_keep_each_others(any_store):
    make(any_store, plan("paraphrases", [plan("avg")]), samples=questions(7))
    make(any_store, plan("paraphrases", [plan("max")]), samples=questions(7))
    (run,) = make(any_store, plan("paraphrases", [plan("avg")]), samples=questions(7))
    assert [p.key.rpartition("/")[2] for p in read_dependents(run)] == ["avg-3", "max-3"]
    finish_paraphrases(run)
    assert names(create_dependents(run)) == ["avg-3", "max-3"]


def test_a_note_that_is_being_written_or_was_left_half_written_is_passed_over(written, any_store):
    note = "quiz/owner--model/avg-9.after/owner--model/paraphrases-3.json.0a1b2c.tmp"
    any_store.write_bytes(note, b'{"ke')
    finish_paraphrases(written)
    assert names(create_dependents(written)) == ["avg-3", "max-3"]


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"\xff", b'{"key": "a/b/c"}', plan("avg").model_dump_json()[:-1].encode()],
)
def test_a_damaged_note_is_one_sentence_that_names_its_file(written, any_store, content):
    any_store.write_bytes(NOTE, content)
    finish_paraphrases(written)
    before = snapshot(any_store)
    with pytest.raises(UsageError) as refused:
        create_dependents(written)
    message = str(refused.value)
    assert message.startswith(f"{any_store.path(NOTE)} is no planned run of this version (")
    assert message.endswith("; delete it and enqueue again")
    assert "\n" not in message
    assert snapshot(any_store) == before


def test_a_note_of_a_later_version_is_refused(written, any_store):
    text = plan("avg").model_dump_json().removesuffix("}") + ', "soon": 1}'
    any_store.write_bytes(NOTE, text.encode())
    with pytest.raises(UsageError, match="Extra inputs are not permitted"):
        read_dependents(written)


def test_a_note_cannot_name_a_place_outside_the_store(written, any_store):
    away = plan("avg").model_copy(update={"key": "../../etc"})
    any_store.write_bytes(NOTE, away.model_dump_json().encode())
    finish_paraphrases(written)
    with pytest.raises(UsageError, match=r"run '\.\./\.\./etc"):
        create_dependents(written)


def test_a_dependent_that_exists_with_another_spec_is_refused_and_none_is_made(any_store):
    make(any_store, plan("max", max_new_tokens=9), samples=questions(7, paraphrases=3))
    (run,) = make(any_store, plan("paraphrases", LATER), samples=questions(7))
    finish_paraphrases(run)
    with pytest.raises(UsageError, match=r"max-3 exists with another .*max_new_tokens is '9'"):
        create_dependents(run)
    assert not any_store.exists("quiz/owner--model/avg-3/run.json")


def chain():
    """Paraphrases, then confidences of them, then a weighted mean; and a plain one beside."""
    weighted = plan("weighted_avg")
    return plan("paraphrases", [plan("confidence", [weighted]), plan("avg")])


def test_dependents_have_dependents_of_their_own(any_store):
    (first,) = make(any_store, chain(), samples=questions(7))
    finish_paraphrases(first)
    made = create_dependents(first)
    assert names(made) == ["avg-3", "confidence-3"]
    second = made[1]
    assert create_dependents(second) == []
    finish_confidences(second)
    (weighted,) = create_dependents(second)
    assert weighted.key.name == "weighted_avg-3"
    sample = weighted.read_samples([6])[0]
    assert sample.paraphrases == tuple(paraphrase(6, w) for w in range(3))
    assert sample.confidences == tuple(confidence_of(6, w) for w in range(3))
    assert weighted.record.provenance["depends_on"].startswith("quiz/owner--model/confidence-3@")


def test_creating_the_dependents_of_the_first_of_a_chain_goes_on_to_its_end(any_store):
    """Whoever looks at the store later makes up for a worker that died in between."""
    (first,) = make(any_store, chain(), samples=questions(7))
    finish_paraphrases(first)
    put_confidences(create_dependents(first)[1], range(7))
    assert names(create_dependents(first)) == ["avg-3", "confidence-3", "weighted_avg-3"]


def test_runs_that_answer_have_no_dependents(any_store):
    run, _ = make(any_store, plan("avg"), plan("max"), samples=questions(7, paraphrases=3))
    note_dependents(run, [plan("weighted_avg")])
    put_part(run, range(7))
    merge_run(run)
    assert create_dependents(run) == []


def test_dependents_are_overwritten_only_after_every_snapshot_is_written(any_store):
    (run,) = make(any_store, plan("paraphrases", LATER), samples=questions(7))
    finish_paraphrases(run)
    avg, most = create_dependents(run)
    for made in (avg, most):
        put_part(made, range(7))
    before = snapshot(any_store)
    bad = [*questions(6), questions(1, paraphrases=2)[0]]
    plans, keys = [plan("paraphrases", LATER)], [str(avg.key)]
    with pytest.raises(UsageError, match="2 paraphrases already"):
        create_with_dependents(any_store, plans, bad, {}, keys)
    assert snapshot(any_store) == before
    create_with_dependents(any_store, plans, questions(7), {}, keys)
    assert [read_progress(made).ok for made in create_dependents(run)] == [0, 7]


def test_deletion_reaches_dependents_of_dependents_and_spares_what_is_not_named(any_store):
    (run,) = make(any_store, chain(), samples=questions(3))
    finish_paraphrases(run)
    avg, confidence = create_dependents(run)
    finish_confidences(confidence)
    (weighted,) = create_dependents(confidence)
    delete_runs(any_store, [chain()], {str(weighted.key)})
    assert [made.exists() for made in (run, avg, confidence, weighted)] == [True] * 3 + [False]


def test_a_plan_lists_itself_and_its_dependents_in_order():
    keys = [each.key.rpartition("/")[2] for each in chain().all()]
    assert keys == ["paraphrases-3", "confidence-3", "weighted_avg-3", "avg-3"]
    assert RunPlan.model_validate_json(chain().model_dump_json()) == chain()
