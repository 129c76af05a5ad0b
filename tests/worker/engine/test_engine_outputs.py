"""Answers as a notebook asks for them: votes, confidences and single answers, as in a run."""

import gc
import weakref
from dataclasses import replace

import pytest

from common.errors import SampleError, UsageError
from common.planning.plan import RunPlan, create_runs
from common.records import Sample
from common.run import SamplingParams
from tests.worker.conftest import shard_of
from tests.worker.engine.families import MANY, make_request, watch_fed_tokens
from tests.worker.scripted import answers_of, make_spec, spoken, text_of
from worker.answering import make_request as request_of_runs
from worker.engine.budget import Budget
from worker.engine.outputs import Answer, AnswerReader

SAMPLE = Sample(("who?", "which one?", "tell me who"), uuid="id-7")
THREE = [spoken(" Rome\n"), spoken(" Ann.\n", *[-0.2] * 6), spoken(" ann\n", *[-0.1] * 5)]
WARM = SamplingParams(temperature=1.5, top_p=0.9, num_draws=3)
QUESTIONS = tuple(Sample(paraphrases, uuid=f"id-{i}") for i, paraphrases in enumerate(MANY))


def scripted(generations, **changes):
    return answers_of(SAMPLE, generations, make_spec(next(iter(generations)), **changes))


def result_of(run):
    return run.store.open_arrow(run.feather).read_all().to_pylist()


@pytest.fixture
def runs_of(executor, tiny_model):
    """Answer runs of several methods over QUESTIONS together, in shards of odd sizes."""

    def answer(*methods, **changes):
        model = {"model": str(tiny_model), "model_source": str(tiny_model)}
        specs = [make_spec(method, **model, **changes) for method in methods]
        plans = [RunPlan(key=f"quiz/tiny-llama/{s.method}-3", spec=s) for s in specs]
        runs = create_runs(executor.store, plans, list(QUESTIONS), {})
        for run in runs:
            executor.counters.reset(str(run.key), [])
        for rows in ([6, 0, 3], [1], [2, 4, 5]):
            assert executor.execute(shard_of(runs, sorted(rows))) == []
        engine = executor.manager.engine_for(specs[0]).engine
        return [result_of(run) for run in runs], engine.run(QUESTIONS, request_of_runs(specs))

    return answer


def assert_row_of(answer, row):
    assert (answer.prediction, answer.text) == (row["prediction"], row["generation"])
    assert (list(answer.tokens), answer.finish_reason) == (row["tokens"], row["finish_reason"])
    assert answer.logprob == pytest.approx(row["logprob"], abs=1e-4)


def test_a_notebooks_votes_and_single_answers_are_those_of_a_run(runs_of):
    (votes, singles, fused), output = runs_of("majority", "per_prompt", "flex_attention")
    elected = [answers["majority"] for answers in output.answers]
    alone = [answer for answers in output.answers for answer in answers.all("per_prompt")]
    assert len({answer.prediction for answer in alone}) > 7
    for answer, row in zip(elected + alone, votes + singles, strict=True):
        assert_row_of(answer, row)
    for answers, vote, row in zip(output.answers, votes, fused, strict=True):
        fused_answer = answers["flex_attention"]
        assert_row_of(fused_answer, row)
        told = [(s.prediction, list(s.tokens), s.finish_reason) for s in fused_answer.singles]
        kept = [(s["prediction"], s["tokens"], s["finish_reason"]) for s in row["singles"]]
        assert told == kept
        assert answers["majority"].singles == fused_answer.singles == answers.all("per_prompt")
        assert vote["prediction"] in [single.prediction for single in fused_answer.singles]


def test_a_notebooks_confidences_are_those_of_a_run(runs_of):
    cool = SamplingParams(temperature=0.3, top_p=0.9, num_draws=5)
    (rows,), output = runs_of("confidence", sampling=cool, max_new_tokens=2)
    confident = [answer for answers in output.answers for answer in answers.all("confidence")]
    assert len({answer.confidence for answer in confident}) > 2
    for answer, row in zip(confident, rows, strict=True):
        assert_row_of(answer, row)
        assert answer.confidence == row["confidence"]
        assert [draw.prediction for draw in answer.draws] == row["sampled"]


def test_an_answer_is_the_text_its_tokens_and_their_sum():
    answer = scripted({"avg": [spoken(" Ann\nQ: next", -0.5, -0.125, -0.0625)]})["avg"]
    tokens = tuple(map(ord, " Ann\nQ: next"))
    assert answer == Answer(
        " Ann\nQ: next", None, "Ann", tokens, (-0.5, -0.125, -0.0625), "stop:\\n"
    )
    assert answer.logprob == -0.6875


def test_the_answer_of_a_vote_is_the_one_that_most_paraphrases_give():
    answers = scripted({"majority": THREE})
    assert answers["majority"].prediction == "ann"
    assert [single.prediction for single in answers["majority"].singles] == ["Rome", "Ann.", "ann"]
    assert answers.all("majority") == (answers["majority"],)


@pytest.mark.parametrize("beside", ["majority", "per_prompt"])
def test_an_ensembles_single_answers_are_there_where_they_were_requested_together(beside):
    answers = scripted({"avg": THREE[:1], "origin": THREE[:1], beside: THREE})
    assert [single.prediction for single in answers["avg"].singles] == ["Rome", "Ann.", "ann"]
    assert answers["origin"].singles is None
    failed = scripted({"avg": THREE[:1], beside: SampleError("too long")})
    assert failed["avg"].singles is scripted({"avg": THREE[:1]})["avg"].singles is None


def test_a_confidence_is_the_share_of_draws_that_equal_the_greedy_answer():
    texts = ["the Nile", "Nile", "nile.", "Amazon", "Amazon", "Nile", "Danube", "x"]
    drawn = {"confidence": [spoken(f" {text}\n") for text in texts]}
    answers = scripted(drawn, sampling=WARM).all("confidence")
    assert [answer.confidence for answer in answers] == [2 / 3, 0]
    assert [answer.prediction for answer in answers] == ["the Nile", "Amazon"]
    assert [draw.prediction for draw in answers[1].draws] == ["Nile", "Danube", "x"]


def test_confidences_without_draws_are_refused():
    with pytest.raises(UsageError, match="give the request `sampling`"):
        scripted({"confidence": THREE}).all("confidence")


@pytest.mark.parametrize(
    ("method", "generations", "number"),
    [("per_prompt", THREE, 3), ("confidence", THREE * 4, 3), ("paraphrases", THREE, 3)],
)
def test_a_method_of_several_answers_names_how_to_ask_for_all(method, generations, number):
    answers = scripted({method: generations}, sampling=WARM)
    message = rf"'{method}' has {number} answers to a sample, not one: take `all\('{method}'\)`"
    with pytest.raises(UsageError, match=message):
        answers[method]
    assert len(answers.all(method)) == number


@pytest.mark.parametrize("method", ["per_prompt", "confidence", "paraphrases"])
def test_the_only_answer_of_such_a_method_can_be_asked_for_alone(method):
    generations = [spoken(" Ann\n")] * (4 if method == "confidence" else 1)
    assert scripted({method: generations}, sampling=WARM)[method].prediction == "Ann"


def test_a_method_that_cannot_answer_raises_its_error_and_leaves_the_others(make_engine):
    sample = Sample((*SAMPLE.paraphrases[:1], " "))
    request = make_request("origin", "avg", num_paraphrases=2)
    (answers,) = make_engine().run([sample], request).answers
    assert list(answers.errors) == ["avg"]
    for ask in (answers.__getitem__, answers.all):
        with pytest.raises(SampleError, match="paraphrase 1 is empty"):
            ask("avg")
    assert answers["origin"].finish_reason


def test_a_method_that_was_not_requested_is_said():
    with pytest.raises(UsageError, match="'max' was not requested; answers are there for avg"):
        scripted({"avg": THREE[:1]})["max"]


def test_no_text_is_decoded_before_an_answer_is_asked_for(make_engine, monkeypatch):
    engine, decoded = make_engine(), []
    text = engine.tokenizer.text
    monkeypatch.setattr(
        engine.tokenizer, "text", lambda tokens: (decoded.append(tokens), text(tokens))[1]
    )
    first, *_ = engine.run(QUESTIONS, make_request("avg", "per_prompt")).answers
    assert decoded == []
    answer = first.all("per_prompt")[1]
    assert len(decoded) == 3
    assert answer.text == text(answer.tokens)


def test_answers_are_equal_if_samples_and_generations_are(make_engine):
    engine, request = make_engine(), make_request("avg")
    one, other = (engine.run(QUESTIONS[:2], request).answers for _ in range(2))
    assert one == other
    assert len({*one, *other}) == 2
    assert one[0] != one[1]
    assert one[0] != replace(one[0], sample=replace(QUESTIONS[0], uuid="another"))
    assert one[0] != replace(one[0], generations={"avg": THREE[:1]})
    assert one[0] == replace(one[0], reader=AnswerReader(request, text_of))


def test_answers_that_are_kept_do_not_keep_the_model(make_engine):
    engine = make_engine()
    (answers,) = engine.run(QUESTIONS[:1], make_request("avg")).answers
    model = weakref.ref(engine.model)
    del engine
    gc.collect()
    assert model() is None
    assert answers["avg"].tokens


def test_the_work_of_a_call_is_counted(make_engine):
    engine, request = make_engine(), make_request("avg", "flex_attention")
    fed = watch_fed_tokens(engine.model)
    stats = engine.run(QUESTIONS, request).stats
    assert stats.prefill_tokens + stats.decode_tokens == sum(fed[1:]), "after the prefix"
    assert min(stats.prefill_tokens, stats.decode_tokens) > 0
    assert min(stats.prefill_seconds, stats.decode_seconds) > 0


def test_a_caller_hears_of_each_group_of_samples_that_is_answered(make_engine):
    heard = []
    make_engine(engine={"budget": Budget(cache_bytes=1)}).run(
        QUESTIONS, make_request("avg"), heard.append
    )
    assert heard == [1] * len(QUESTIONS)


def test_a_prediction_ends_at_a_stop_string_of_the_request():
    request = make_request("avg", stop=("##",))
    read = AnswerReader(request, text_of).read(spoken(" \n Ann ## Rome"))
    assert (read.prediction, read.text) == ("Ann", " \n Ann ## Rome")
