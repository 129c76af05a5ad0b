"""The runs that a report accepts, the runs that it refuses, and its notes on them."""

from dataclasses import replace

import pytest

from common.errors import UsageError
from common.records import Sample
from common.store import list_parts, merge_run
from producer.report.build import build_document
from producer.scoring.score import score_run
from tests.common.storekit import make_answer, make_run, put_part
from tests.producer.report.reportkit import (
    a_single,
    an_answer,
    answered,
    answered_samples,
    begin,
    finish,
    per_paraphrase,
)

COUNTS = {"prefill_seconds": 2.5, "decode_seconds": 1.5}


def a_sample(uuid, *answers):
    return Sample((f"what is {uuid}?",), answers, uuid)


def test_the_figures_of_a_run_by_hand(store):
    run = begin(store, "flex_attention-3", 11)
    answers = [an_answer(run, row, {0, 4, 7}, failed={2}) for row in range(11)]
    (report,) = build_document([finish(run, answers, counts=COUNTS)]).runs
    assert (report.run, report.method) == ("quiz/owner--model/flex_attention-3", "flex_attention")
    assert (report.num_paraphrases, report.layout, report.positions) == (3, "concat", "sequential")
    assert (report.questions, report.failed, report.tokens) == (11, 1, 20)
    assert report.accuracy.value == pytest.approx(3 / 11)
    assert report.f1.value == pytest.approx(3 / 11)
    assert (report.seconds, report.questions_per_second) == pytest.approx((4.0, 11 / 4))


def test_a_run_with_a_row_for_each_paraphrase_has_the_mean_over_its_paraphrases(store):
    answers = [
        [("gold 0", -1.0), ("x", -1.0), None],
        [("no", -1.0), ("gold or 1", -1.0), ("gold 1", -1.0)],
    ]
    (report,) = build_document([per_paraphrase(store, answers)]).runs
    assert (report.questions, report.failed, report.tokens) == (2, 1, 10)
    # "x" is an alias of every question; "gold or 1" has F1 0.8 against "gold 1".
    assert report.accuracy.value == pytest.approx((2 / 3 + 1 / 3) / 2)
    assert report.f1.value == pytest.approx((2 / 3 + 1.8 / 3) / 2)


def test_seconds_are_unknown_where_parts_are_gone_or_counted_none(store):
    run = begin(store, "avg-3", 4)
    put_part(run, [0, 1], counts=COUNTS)
    put_part(run, [2, 3], counts=COUNTS)
    merge_run(run)
    store.delete(list_parts(run)[0])
    other = answered(store, "max-3", 4, {0})
    document = build_document([run, other])
    assert [(r.seconds, r.questions_per_second) for r in document.runs] == 2 * [(None, None)]
    assert any(note.endswith("counted none: avg-3, max-3.") for note in document.notes)


def test_a_scored_file_gives_the_same_report_as_one_that_is_not(store):
    run = answered(store, "avg-3", 9, {1, 5}, failed={3})
    before = build_document([run])
    score_run(run)
    assert build_document([run]) == before


def test_what_is_right_is_read_from_a_scored_file(store, monkeypatch):
    run = answered(store, "avg-3", 9, {1, 5}, failed={3})
    score_run(run)
    monkeypatch.setattr("producer.report.answers.exact_match", lambda *_: pytest.fail("judged"))
    assert build_document([run]).runs[0].accuracy.value == pytest.approx(2 / 9)


@pytest.mark.parametrize("metric", ["exact", "lemma"])
def test_scores_of_other_versions_are_not_believed_and_a_note_says_so(store, monkeypatch, metric):
    run = answered(store, "avg-3", 9, {1, 5}, failed={3})
    fresh = build_document([run], metric)
    with monkeypatch.context() as earlier:
        earlier.setattr("producer.scoring.score.SCORING_VERSION", 1)
        for name in ("exact_match", "lemma_match"):
            earlier.setattr(f"producer.scoring.score.{name}", lambda *_: True)
        earlier.setattr("producer.scoring.score.token_f1", lambda *_: 1.0)
        score_run(run)
    document = build_document([run], metric)
    (note,) = set(document.notes) - set(fresh.notes)
    assert note.startswith("avg-3 was scored by other versions")
    assert f"`producer score {run.key}`" in note
    assert document.runs == fresh.runs
    score_run(run)
    assert build_document([run], metric) == fresh


@pytest.mark.parametrize("scored", [True, False])
def test_lemma_match_is_another_metric(store, scored):
    samples = [a_sample("a", "wolf"), a_sample("b", "city")]
    run = answered_samples(store, "origin", samples, ["the wolves", "cities"])
    if scored:
        score_run(run)
    exact, lemma = build_document([run]), build_document([run], "lemma")
    assert (exact.metric, lemma.metric) == ("exact", "lemma")
    assert (exact.runs[0].accuracy.value, lemma.runs[0].accuracy.value) == (0.0, 1.0)


def test_single_answers_are_judged_by_the_metric_too(store):
    run = begin(store, "avg-3", 1)
    answer = an_answer(run, 0, {0})
    answer.__dict__["singles"] = [a_single("golds 0", -1.0), a_single("x", -1.0)]
    finish(run, [answer])
    rows = [build_document([run], metric).samples[0] for metric in ("exact", "lemma")]
    assert [row.singles_correct for row in rows] == [(False, True), (True, True)]


def test_a_run_that_is_not_merged_is_refused(store):
    with pytest.raises(UsageError, match=r"origin has no merged file yet; `producer merge"):
        build_document([make_run(store)])


def test_a_run_given_twice_is_refused(store):
    run = answered(store, "avg-3", 3, {1})
    with pytest.raises(UsageError, match=r"avg-3 is given twice"):
        build_document([run, answered(store, "max-3", 3, {1}), run])


@pytest.mark.parametrize("method", ["paraphrases", "confidence"])
def test_a_step_is_refused(store, method):
    run = make_run(store, 3, f"{method}-3", method=method, num_paraphrases=3)
    with pytest.raises(UsageError, match=rf"{method}-3 is a step \({method}\)"):
        build_document([run])


def test_a_run_merged_without_a_row_is_refused(store):
    run = make_run(store, 3)
    merge_run(run, partial=True)
    with pytest.raises(UsageError, match="merged without a single row"):
        build_document([run])


def test_a_file_that_is_cut_off_is_refused_in_one_sentence(store):
    run = answered(store, "avg-3", 3, {1})
    store.write_bytes(run.feather, store.read_bytes(run.feather)[:-40])
    with pytest.raises(UsageError, match=r"avg-3\.feather is not a whole Arrow file"):
        build_document([run])


def test_a_uuid_that_comes_twice_is_refused(store):
    samples = [a_sample("a", "1"), a_sample("b", "2"), a_sample("a", "3")]
    run = answered_samples(store, "origin", samples, ["1", "2", "3"])
    with pytest.raises(UsageError, match="holds the uuid 'a' more than once"):
        build_document([run])


def test_a_uuid_twice_in_a_row_is_refused_too(store):
    samples = [a_sample("a", "1"), a_sample("a", "2")]
    run = answered_samples(store, "origin", samples, ["1", "2"])
    with pytest.raises(UsageError, match="holds the uuid 'a' more than once"):
        build_document([run])


def test_a_partial_merge_is_reported_and_says_so(store):
    run = begin(store, "avg-3", 5)
    finish(run, (an_answer(run, row, {0}) for row in (0, 3)), partial=True)
    document = build_document([run])
    assert (document.questions, document.runs[0].accuracy.value) == (2, 0.5)
    assert "avg-3 is PARTIAL: merged with 2 of 5 questions." in document.notes


def test_mixed_choices_of_the_workers_are_said(store):
    run = begin(store, "avg-3", 2)
    put_part(run, [0], choices={"dtype": "float32"})
    put_part(run, [1], choices={"dtype": "bfloat16"})
    merge_run(run)
    assert any("mixed choices" in note for note in build_document([run]).notes)


def test_questions_in_another_order_are_the_same_questions(store):
    samples = [a_sample(uuid, uuid) for uuid in "abc"]
    one = answered_samples(store, "one", samples, ["a", "b", "no"])
    other = answered_samples(store, "other", samples[::-1], ["c", "b", "no"])
    document = build_document([one, other])
    (c,) = document.comparisons
    assert (c.wins, c.losses, c.ties, c.flips) == (1, 1, 1, ("a", "c"))
    assert document.common_of is None


@pytest.fixture
def overlapping(store):
    first = [a_sample(uuid, uuid) for uuid in "abcd"]
    second = [a_sample(uuid, uuid) for uuid in "cxb"]
    return [
        answered_samples(store, "first", first, ["a", "b", "no", "d"]),
        answered_samples(store, "second", second, ["c", "x", "b"]),
    ]


def test_runs_of_different_questions_are_refused(overlapping):
    with pytest.raises(UsageError, match=r"different question sets; 2 questions .* --common"):
        build_document(overlapping)


def test_common_cuts_to_what_all_runs_have_and_the_title_says_so(overlapping):
    document = build_document(overlapping, common=True)
    assert [sample.uuid for sample in document.samples] == ["b", "c"]
    assert (document.questions, document.common_of) == (2, 5)
    assert (
        document.title == "quiz, owner--model: 2 runs on the 2 questions common to all runs, of 5"
    )
    assert [run.accuracy.value for run in document.runs] == [0.5, 1.0]


def test_common_changes_nothing_where_the_questions_are_the_same(store):
    runs = [answered(store, name, 5, {1}) for name in ("avg-3", "max-3")]
    assert build_document(runs, common=True) == build_document(runs)
    assert build_document(runs).title == "quiz, owner--model: 2 runs on 5 questions"


@pytest.mark.parametrize("common", [True, False])
def test_runs_with_nothing_in_common_are_refused_all_the_same(store, common):
    one = answered_samples(store, "one", [a_sample("a", "1")], ["1"])
    other = answered_samples(store, "other", [a_sample("b", "1")], ["1"])
    with pytest.raises(UsageError, match="no question is common"):
        build_document([one, other], common=common)


@pytest.mark.parametrize("common", [True, False])
def test_the_same_uuid_with_other_answers_is_another_question(store, common):
    one = answered_samples(store, "one", [a_sample("a", "1"), a_sample("b", "2")], ["1", "2"])
    other = answered_samples(store, "other", [a_sample("a", "1"), a_sample("b", "3")], ["1", "2"])
    with pytest.raises(UsageError, match=r"uuid 'b': the gold answers are \['2'\] .* \['3'\]"):
        build_document([one, other], common=common)


def test_aliases_in_another_order_are_the_same_answers(store):
    one = answered_samples(store, "one", [a_sample("a", "1", "one")], ["1"])
    other = answered_samples(store, "other", [a_sample("a", "one", "1")], ["1"])
    assert build_document([one, other]).questions == 1


def test_other_paraphrases_of_the_same_questions_may_be_compared_and_are_pointed_out(store):
    one = answered_samples(store, "one", [a_sample("a", "1")], ["1"])
    other = answered_samples(store, "other", [Sample(("how so?",), ("1",), "a")], ["1"])
    notes = build_document([one, other]).notes
    assert "one and other read other paraphrases of 1 questions." in notes


def test_other_prompts_may_be_compared_and_are_pointed_out(store):
    runs = [
        make_run(store, 3, "one", few_shot=()),
        make_run(store, 3, "other", max_new_tokens=7),
    ]
    for run in runs:
        put_part(run, range(3))
        merge_run(run)
    assert "one and other also differ in few_shot, max_new_tokens." in build_document(runs).notes


def test_answers_that_ended_at_the_limit_of_tokens_are_counted_for_each_run(store):
    runs = [begin(store, name, 7) for name in ("avg-3", "max-3")]
    ended = [*["length"] * 3, *["eos"] * 2, "stop:\n", None]
    for run in runs:
        reasons = ended if run is runs[0] else ["eos"] * 7
        answers = (
            replace(make_answer(run, row), finish_reason=reason)
            for row, reason in enumerate(reasons)
        )
        finish(run, answers)
    document = build_document(runs)
    assert [run.cut_off for run in document.runs] == [3, 0]
    sentence = (
        "avg-3: 3 of 7 answers were cut off at 20 tokens (length); a larger --max-new-tokens lets "
        "them end"
    )
    assert [note for note in document.notes if "cut off" in note] == [sentence]


def test_answers_to_each_paraphrase_are_counted_one_by_one(store):
    run = begin(store, "per_prompt-3", 2)
    answers = [
        replace(make_answer(run, row, index), finish_reason="length" if index else "eos")
        for row in range(2)
        for index in range(3)
    ]
    document = build_document([finish(run, answers)])
    assert document.runs[0].cut_off == 4
    assert any("4 of 6 answers were cut off" in note for note in document.notes)


def test_what_a_runs_name_tells_of_its_prompts_is_not_told_again(store):
    chat = {"prompt": "chat", "date_string": "26 Jul 2024", "thinking": "on", "stop": ()}
    runs = [make_run(store, 3, "one"), make_run(store, 3, "one-chat-thinking", **chat)]
    for run in runs:
        finish(run, [make_answer(run, row) for row in range(3)])
    notes = build_document(runs).notes
    assert any(note.endswith("also differ in stop.") for note in notes)
