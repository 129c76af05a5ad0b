"""Paraphrases and confidences by a tiny model: the same rows in every shard."""

import random

import pytest

from common.errors import StopRun
from common.planning.plan import RunPlan, create_runs
from common.planning.sharding import messages_for
from common.prompts import Template
from common.records import Sample
from common.run import SamplingParams
from common.store import missing_rows, read_progress
from tests.conftest import assert_rows_alike
from tests.worker.conftest import shard_of
from tests.worker.scripted import EXEMPLARS, ONCE, make_spec
from worker.engine.engine import Engine
from worker.executor import ShardExecutor
from worker.shards import open_shard

ASK = Template(instruction="Ask it again.", question="Question: {question}\n", cue="Paraphrase:")
QUESTIONS = ["what is the number?", "who is 7?", "the answer is it?", "is it 9?", "A or Q?"]


@pytest.fixture
def run_of(executor, tiny_model):
    """Make a run of a method over questions, in place of the one before."""

    def make(method, questions=QUESTIONS, **changes):
        samples = [
            Sample((q,) if isinstance(q, str) else q, ("9",), f"id{i}")
            for i, q in enumerate(questions)
        ]
        model = {"model": str(tiny_model), "model_source": str(tiny_model)}
        spec = make_spec(method, **model, **changes)
        key = f"quiz/tiny-llama/{method}-3"
        (run,) = create_runs(executor.store, [RunPlan(key=key, spec=spec)], samples, {}, [key])
        executor.counters.reset(key, [])
        return run

    return make


def new_executor(settings, executor):
    """Another process of the same store and counters."""
    return ShardExecutor(settings, executor.store, executor.counters, executor._start_merge)


def rows_after(executor, run, shards):
    for rows in shards:
        assert executor.execute(shard_of((run,), rows)) == []
    return result_of(run)


def result_of(run):
    assert not missing_rows(run).size
    return run.store.open_arrow(run.feather).read_all().replace_schema_metadata()


PARAPHRASES = {"template": ASK, "sampling": ONCE, "exemplars": EXEMPLARS, "max_new_tokens": 6}
SHARDS = [[[0, 1, 2, 3, 4]], [[0, 1], [2], [3, 4]], [[4], [2, 3], [0, 1]]]


def test_paraphrases_are_the_same_whatever_the_shard(executor, run_of):
    whole, *others = [
        rows_after(executor, run_of("paraphrases", **PARAPHRASES), shards) for shards in SHARDS
    ]
    assert all(other.equals(whole) for other in others)
    assert whole["question"].to_pylist() == QUESTIONS
    assert whole["error"].null_count == 5
    assert len({tuple(paraphrases) for paraphrases in whole["paraphrases"].to_pylist()}) == 5


NINE = [*QUESTIONS, "is the question a number?", "who?", "what is not it?", "Q is what?"]


def shards_of(size, order):
    """The rows of NINE in shards of a size: in order, reversed or shuffled."""
    shards = [list(range(9))[first : first + size] for first in range(0, 9, size)]
    if order == "shuffled":
        random.Random(size).shuffle(shards)
    return shards[::-1] if order == "reversed" else shards


@pytest.fixture
def drawn_run(run_of):
    """A run of nine questions in which most of what is drawn differs from draw to draw."""

    def make(method):
        if method == "paraphrases":
            return run_of(method, NINE, **PARAPHRASES)
        warm = SamplingParams(temperature=1.5, top_p=0.9, num_draws=3)
        questions = [(q, f"tell me, {q}") for q in NINE]
        return run_of(method, questions, num_paraphrases=2, sampling=warm)

    return make


@pytest.fixture
def by_one_row(executor, drawn_run):
    """The texts that are drawn when each row is a shard of its own."""

    def rows(method):
        return drawn_texts(rows_after(executor, drawn_run(method), shards_of(1, "in order")))

    return rows


def drawn_texts(table):
    """Texts and columns computed from texts; log-probabilities may differ in the last digits."""
    names = {"paraphrases", "problems", "attempts", "sampled", "confidence", "tokens"}
    return table.select([name for name in table.column_names if name in names]).to_pylist()


@pytest.mark.parametrize("method", ["paraphrases", "confidence"])
def test_no_draw_depends_on_the_size_or_the_order_of_shards(
    executor, drawn_run, by_one_row, method
):
    alone = by_one_row(method)
    column = "paraphrases" if method == "paraphrases" else "sampled"
    assert len({text for row in alone for text in row[column]}) > 25, "draws that differ"
    for size, order in [(64, "in order"), (7, "reversed"), (3, "shuffled"), (1, "reversed")]:
        run = drawn_run(method)
        assert drawn_texts(rows_after(executor, run, shards_of(size, order))) == alone


@pytest.mark.parametrize("method", ["paraphrases", "confidence"])
def test_no_draw_depends_on_the_worker_or_on_a_resume(
    executor, settings, drawn_run, by_one_row, method
):
    """Two processes take turns; then what is missing comes in shards of another size."""
    run, other = drawn_run(method), new_executor(settings, executor)
    executor.execute(shard_of((run,), [0, 1]))
    other.execute(shard_of((run,), [6, 7, 8]))
    assert missing_rows(run).tolist() == [2, 3, 4, 5]
    restarted = new_executor(settings, executor)
    for message in messages_for([run], 3):
        restarted.execute(open_shard(run.store, message.runs, message.rows))
    assert drawn_texts(result_of(run)) == by_one_row(method)


def test_written_paraphrases_are_marked_or_paraphrases_of_their_own(executor, run_of):
    run = run_of("paraphrases", **PARAPHRASES)
    for row in rows_after(executor, run, SHARDS[0]).to_pylist():
        question, *written = row["paraphrases"]
        assert question == row["question"]
        assert len(written) == len(row["problems"]) - 1 == 2
        assert row["problems"][0] is None
        assert row["attempts"][0] == 0
        for attempts, problem in zip(row["attempts"][1:], row["problems"][1:], strict=True):
            assert 1 <= attempts <= 8
            assert problem is None or attempts == 8


COOL = SamplingParams(temperature=0.3, top_p=0.9, num_draws=5)


def test_confidences_are_the_same_whatever_the_shard(executor, run_of):
    questions = [(q, f"tell me, {q}", "what?") for q in QUESTIONS]
    whole, *others = [
        rows_after(
            executor, run_of("confidence", questions, sampling=COOL, max_new_tokens=2), shards
        )
        for shards in SHARDS
    ]
    assert len(whole) == 15
    for other in others:
        assert_rows_alike(other, whole)
    assert all(len(drawn) == 5 for drawn in whole["sampled"].to_pylist())
    assert len(set(whole["confidence"].to_pylist())) > 1


LONG = "long " * 400


def test_questions_that_are_too_long_are_rows_in_any_company(executor, run_of):
    """The error of a sample does not depend on its shard."""
    questions = [LONG, LONG, QUESTIONS[0]]
    for shards in ([[0, 1], [2]], [[0, 1, 2]], [[0], [1], [2]]):
        run = run_of("paraphrases", questions, **PARAPHRASES)
        rows = rows_after(executor, run, shards).to_pylist()
        assert [row["error"] is None for row in rows] == [False, False, True]
        assert "positions" in rows[0]["error"]
        assert [row["error_kind"] for row in rows] == ["sample", "sample", None]
        assert rows[0]["paraphrases"] == [LONG]
        assert read_progress(run).failed == 2


def test_a_shard_in_which_every_question_raises_stops_the_run(executor, run_of, monkeypatch):
    def broken(*_):
        raise RuntimeError("device lost")

    run = run_of("paraphrases", **PARAPHRASES)
    monkeypatch.setattr(Engine, "run", broken)
    with pytest.raises(StopRun, match="device lost"):
        executor.execute(shard_of((run,), [0, 1]))
    assert missing_rows(run).tolist() == [0, 1, 2, 3, 4]


def test_a_message_of_two_paraphrase_runs_answers_both(executor, run_of, tiny_model):
    three = run_of("paraphrases", **PARAPHRASES)
    samples = three.read_samples(range(5))
    spec = three.spec.model_copy(update={"num_paraphrases": 2})
    two_key = "quiz/tiny-llama/paraphrases-2"
    (two,) = create_runs(executor.store, [RunPlan(key=two_key, spec=spec)], samples, {})
    executor.execute(shard_of((three, two), list(range(5))))
    wide, narrow = (
        run.store.open_arrow(run.feather).read_all()["paraphrases"].to_pylist()
        for run in (three, two)
    )
    assert [paraphrases[:2] for paraphrases in wide] == narrow
