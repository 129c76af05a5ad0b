"""common.planning.plan: all planned runs are created or none, and each keeps what it reads."""

import hashlib
import json
from dataclasses import replace

import pytest

from common.errors import UsageError
from common.planning.plan import create_runs, project_sample
from common.records import Sample
from common.store import RunFolder
from tests.common.stepkit import plan, questions, snapshot
from tests.common.storekit import all_files

BATCHES = 2500  # more questions than two batches, so that files have been begun


def created(store, *plans, samples, overwrite=(), **more):
    return create_runs(store, plans, samples, {"host": "here"}, overwrite, **more)


@pytest.mark.parametrize("bad", [0, 5, BATCHES - 1])
def test_a_sample_with_too_little_leaves_no_file_at_all(any_store, bad):
    samples = questions(BATCHES, paraphrases=3)
    samples[bad] = replace(samples[bad], paraphrases=("alone?",))
    with pytest.raises(UsageError, match=r"avg was asked for 3 paraphrases .* has 1 in all"):
        created(any_store, plan("origin"), plan("avg"), plan("max"), samples=samples)
    assert all_files(any_store) == []


def test_an_interruption_leaves_no_file_at_all(any_store):
    def samples():
        yield from questions(BATCHES, paraphrases=3)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        created(any_store, plan("origin"), plan("avg"), samples=samples())
    assert all_files(any_store) == []


def test_a_complaint_says_where_the_sample_comes_from(store):
    seen = []

    def samples():
        for number, sample in enumerate([*questions(4, paraphrases=3), *questions(1)], start=1):
            seen.append(f"quiz.jsonl, row {number}")
            yield sample

    with pytest.raises(UsageError, match=r"^quiz.jsonl, row 5: avg was asked for 3 paraphrases"):
        created(store, plan("avg"), samples=samples(), describe_row=lambda: seen[-1])


def test_runs_are_what_was_planned_with_their_samples_counted(any_store):
    runs = created(any_store, plan("origin"), plan("avg"), samples=questions(7, paraphrases=3))
    assert [(run.spec.method, run.spec.num_samples) for run in runs] == [("origin", 7), ("avg", 7)]
    assert all(len(run.spec.dataset_sha256) == 64 for run in runs)
    assert runs[0].spec.dataset_sha256 != runs[1].spec.dataset_sha256
    assert not [path for path in all_files(any_store) if path.startswith(".staging")]


def test_the_same_run_is_left_as_it_is(any_store):
    (run,) = created(any_store, plan("avg"), samples=questions(7, paraphrases=3))
    before = snapshot(any_store)
    again = create_runs(any_store, [plan("avg")], questions(7, paraphrases=3), {"host": "there"})
    assert snapshot(any_store) == before
    assert again[0].record == run.record


CHANGES = {
    "max_new_tokens": ({"max_new_tokens": 21}, {"max_new_tokens": ("20", "21")}),
    "two fields": (
        {"max_new_tokens": 21, "dtype": "auto"},
        {"max_new_tokens": ("20", "21"), "dtype": ("float32", "auto")},
    ),
}


@pytest.mark.parametrize(("changes", "fields"), CHANGES.values(), ids=CHANGES)
def test_another_run_is_refused_with_each_field_and_its_company_is_not_made(
    any_store, changes, fields
):
    created(any_store, plan("avg"), samples=questions(7, paraphrases=3))
    before = snapshot(any_store)
    with pytest.raises(UsageError) as refused:
        created(
            any_store, plan("max"), plan("avg", **changes), samples=questions(7, paraphrases=3)
        )
    message = str(refused.value)
    assert message.startswith("run quiz/owner--model/avg-3 exists with another fingerprint: ")
    for field, (old, new) in fields.items():
        assert f"{field} is '{old}' there and '{new}' here" in message
    assert message.count(" there and ") == len(fields)
    assert "Give --overwrite to throw its results away" in message
    assert snapshot(any_store) == before


@pytest.mark.parametrize(
    ("method", "command"), [("paraphrases", "paraphrase"), ("confidence", "confidence")]
)
def test_a_step_is_thrown_away_by_its_own_command_and_the_refusal_says_so(store, method, command):
    samples = questions(3, paraphrases=3 if method == "confidence" else 1)
    created(store, plan(method), samples=samples)
    with pytest.raises(UsageError, match=f"Give --overwrite to `producer {command}` to throw"):
        created(store, plan(method, max_new_tokens=9), samples=samples)


def test_other_questions_are_another_run(store):
    created(store, plan("avg"), samples=questions(7, paraphrases=3))
    with pytest.raises(UsageError, match=r"dataset_sha256 is .*; num_samples is '7' there and "):
        created(store, plan("avg"), samples=questions(7, paraphrases=4)[:5])
    changed = questions(7, paraphrases=3)
    changed[6] = replace(changed[6], answers=("else",))
    with pytest.raises(UsageError, match=r": dataset_sha256 is '[^;]*' here\. Give"):
        created(store, plan("avg"), samples=changed)


def test_overwriting_throws_the_named_runs_away_and_no_other(any_store):
    plans = [plan("origin"), plan("avg"), plan("max")]
    origin, avg, most = created(any_store, *plans, samples=questions(7, paraphrases=3))
    for run in (origin, avg, most):
        any_store.write_bytes(run.file("parts/of-it"), b"x")
        any_store.write_bytes(run.feather, b"x")
    again = created(
        any_store, *plans, samples=questions(7, paraphrases=3), overwrite=[str(avg.key)]
    )
    kept = [any_store.exists(run.file("parts/of-it")) for run in again]
    assert kept == [True, False, True]
    assert [any_store.exists(run.feather) for run in again] == [True, False, True]


def test_nothing_is_thrown_away_before_all_is_known_to_be_right(store):
    avg, _ = created(store, plan("avg"), plan("max"), samples=questions(7, paraphrases=3))
    before = snapshot(store)
    with pytest.raises(UsageError, match="max-3 exists with another"):
        created(
            store, plan("avg"), plan("max", max_new_tokens=9),
            samples=questions(7, paraphrases=3), overwrite=[str(avg.key)],
        )  # fmt: skip
    with pytest.raises(UsageError, match="3 paraphrases"):
        created(store, plan("avg"), samples=questions(7), overwrite=[str(avg.key)])
    assert snapshot(store) == before


def digest(*contents):
    lines = (json.dumps(content, ensure_ascii=False) + "\n" for content in contents)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def test_the_hash_of_samples_is_pinned(store):
    """Another value here means that every run made before would be refused."""
    samples = [
        Sample(("où est 東京?", "b?"), ("là",), "id0"),
        Sample(("c?", "d?"), ("x", "y"), "id1"),
    ]
    (run,) = created(store, plan("avg", num_paraphrases=2), samples=samples)
    assert run.spec.dataset_sha256 == digest(
        ["id0", ["où est 東京?", "b?"], ["là"]], ["id1", ["c?", "d?"], ["x", "y"]]
    )
    assert run.spec.dataset_sha256 == GOLDEN


GOLDEN = "c7622b8651e03c429cefa6089ba291d759ea66274a314151645bac04f1d5cbea"


def test_the_hash_counts_manual_paraphrases_and_confidences_where_they_are_known(store):
    sample = Sample(("a?", "b?", "c?"), ("x",), "id0", 2, (0.5, 0.25, 1.0))
    avg, weighted = created(store, plan("avg"), plan("weighted_avg"), samples=[sample])
    assert avg.spec.dataset_sha256 == digest(["id0", ["a?", "b?", "c?"], ["x"], 2])
    assert weighted.spec.dataset_sha256 == digest(
        ["id0", ["a?", "b?", "c?"], ["x"], 2, [0.5, 0.25, 1.0]]
    )


@pytest.mark.parametrize(
    ("method", "kept"),
    [("avg", None), ("flex_attention", None), ("weighted_avg", (0.5, 0.25)),
     ("weighted_max", (0.5, 0.25)), ("confidence", None), ("origin", None)],
)  # fmt: skip
def test_confidences_are_stored_for_the_methods_that_read_them_and_cut_as_paraphrases_are(
    any_store, method, kept
):
    sample = Sample(("a?", "b?", "c?"), ("x",), "id0", None, (0.5, 0.25, 1.0))
    (run,) = created(any_store, plan(method, num_paraphrases=2), samples=[sample])
    paraphrases = ("a?",) if method == "origin" else ("a?", "b?")
    assert run.read_samples([0]) == [Sample(paraphrases, ("x",), "id0", None, kept)]
    columns = any_store.open_arrow(run.file("input.arrow")).schema.names
    assert ("confidences" in columns) == (kept is not None)


@pytest.mark.parametrize(
    ("manual", "width", "kept"), [(None, 3, None), (2, 3, 2), (2, 1, 1), (0, 3, 0)]
)
def test_how_many_paraphrases_are_manual_is_stored_where_the_data_tell(
    any_store, manual, width, kept
):
    sample = Sample(("a?", "b?", "c?"), ("x",), "id0", manual)
    (run,) = created(any_store, plan("avg", num_paraphrases=width), samples=[sample])
    assert run.read_samples([0])[0].num_manual == kept
    columns = any_store.open_arrow(run.file("input.arrow")).schema.names
    assert ("num_manual" in columns) == (manual is not None)


def test_no_confidences_of_one_sample_are_kept_as_none_found(any_store):
    """A question the step failed on: the run that needs them fails in this row alone."""
    samples = [replace(s, confidences=(0.5, 0.0, 1.0)) for s in questions(3, paraphrases=3)]
    samples[1] = replace(samples[1], confidences=())
    (run,) = created(any_store, plan("weighted_avg"), samples=samples)
    assert [s.confidences for s in run.read_samples([0, 1, 2])] == [
        (0.5, 0.0, 1.0), (), (0.5, 0.0, 1.0),
    ]  # fmt: skip


def test_a_weighted_method_without_confidences_is_refused():
    with pytest.raises(UsageError, match="weighted_max needs the result of a confidence run"):
        project_sample(questions(1, paraphrases=3)[0], plan("weighted_max"))


def test_cross_manual_without_manual_paraphrases_is_refused_and_none_of_them_is_no_reason():
    method = plan("flex_attention_cross_manual", layout="shared", positions="aligned")
    with pytest.raises(UsageError, match=r"tells manual paraphrases .* such as myriadlama"):
        project_sample(questions(1, paraphrases=3)[0], method)
    assert project_sample(questions(1, paraphrases=3, num_manual=0)[0], method).num_manual == 0


def test_paraphrases_are_written_for_questions_alone():
    assert project_sample(questions(1)[0], plan("paraphrases", num_paraphrases=5)).paraphrases == (
        "what is 0?",
    )
    with pytest.raises(UsageError, match=r"has 2 paraphrases already, .* every question its par"):
        project_sample(questions(1, paraphrases=2)[0], plan("paraphrases"))


def test_a_selection_may_find_fewer_paraphrases(store):
    chosen = plan("avg", num_paraphrases=7).model_copy(update={"from_selection": True})
    (run,) = created(store, chosen, samples=questions(3, paraphrases=4, num_manual=4))
    assert isinstance(run, RunFolder)
    assert len(run.read_samples([2])[0].paraphrases) == 4
