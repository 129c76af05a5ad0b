"""Steps on the command line: their options, the runs that wait for them, messages and when."""

import json

import pytest

from common.run import RunKey
from common.store import StoreFilesystem, merge_run, open_run
from producer.cli import cli
from tests.common.stepkit import finish_confidences, finish_paraphrases
from tests.common.storekit import put_part

MODEL = "quiz/smollm2_135m_it"
INSTRUCT = "{} looks like an instruct model; --prompt chat asks it by its own chat template"
QUEUE = "se:model.smollm2_135m_it"


@pytest.fixture
def bare(jsonl):
    rows = [{"question": f"what is {i}?", "answers": [f"gold {i}"]} for i in range(11)]
    return jsonl(rows, "bare.jsonl")


@pytest.fixture
def typed(command, server, bare):
    """`producer NAME` on eleven questions without paraphrases."""

    def run(name, *more):
        arguments = [name, "--dataset", "quiz", "--data", bare, "--model", "smollm2_135m_it"]
        few = [] if name == "paraphrase" else ["--num-few-shot", "0"]
        return command(*arguments, *few, "--num-paraphrases", "3", *more)

    return run


@pytest.fixture
def run_of(tmp_path):
    return lambda name: open_run(
        StoreFilesystem.open(str(tmp_path / "runs")), RunKey.parse(f"{MODEL}/{name}")
    )


def sent(server):
    """The runs that messages on the queue name."""
    names = set()
    for message in server.lrange(QUEUE, 0, -1):
        headers = json.loads(message)["headers"]
        names.add(headers["kwargsrepr"].partition(" rows")[0].replace(f"{MODEL}/", ""))
    return names


def options(name):
    return {o for p in cli.commands[name].params for o in p.opts if o.startswith("--")}


def test_sampling_options_belong_to_the_step_that_draws():
    drawing = {"--temperature", "--top-p"}
    assert drawing <= options("paraphrase")
    assert drawing <= options("confidence")
    assert not drawing & options("enqueue")
    assert "--num-draws" in options("confidence") & options("enqueue") - options("paraphrase")
    assert "--paraphrases" in options("confidence") & options("enqueue") - options("paraphrase")


@pytest.mark.parametrize("name", ["paraphrase", "confidence"])
def test_steps_are_waited_for_sent_and_done_here_as_enqueue_is(name):
    common = {"--wait", "--local", "--broker", "--store", "--overwrite", "--failure-limit"}
    assert common <= options(name) & options("enqueue")
    assert not {"--method", "--layout", "--positions"} & options(name)


@pytest.mark.parametrize(
    ("name", "drawn"), [("paraphrase", ("1.5", "0.9")), ("confidence", ("1", "1"))]
)
def test_help_tells_how_a_step_draws_and_how_it_is_typed(command, name, drawn):
    result = command(name, "--help")
    temperature, top_p = drawn
    assert (result.status, result.err) == (0, "")
    assert f"Of the draws.  [default: {temperature}]" in result.out
    assert f"is drawn from.  [default: {top_p}]" in result.out
    assert f"producer {name} --dataset" in result.out


@pytest.mark.parametrize(
    ("option", "value"),
    [("--temperature", "0"), ("--temperature", "11"), ("--top-p", "0"), ("--top-p", "1.5")],
)
def test_draws_out_of_range_are_refused(typed, server, option, value):
    result = typed("paraphrase", option, value)
    assert result.status == 2
    assert option in result.err
    assert server.llen(QUEUE) == 0


def test_questions_without_paraphrases_print_runs_that_wait_and_send_those_that_can_start(
    typed, server
):
    result = typed("enqueue", "--method", "origin", "--method", "avg", "--method", "weighted_avg")
    assert (result.status, result.err) == (0, "")
    *lines, nobody = result.out.splitlines()
    assert nobody.startswith("no worker serves the queue model.smollm2_135m_it; start one: ")
    assert lines == [
        INSTRUCT.format("smollm2_135m_it"),
        f"{MODEL}/origin: 11 rows enqueued, 0 done before",
        f"{MODEL}/paraphrases-3: 11 rows enqueued, 0 done before",
        f"{MODEL}/avg-3: waits for another run",
        f"{MODEL}/confidence-3: waits for another run",
        f"{MODEL}/weighted_avg-3: waits for another run",
    ]
    assert sent(server) == {"origin", "paraphrases-3"}


def test_asking_again_after_each_step_sends_the_next(typed, server, run_of):
    arguments = ["enqueue", "--method", "avg", "--method", "weighted_avg"]
    typed(*arguments)
    finish_paraphrases(run_of("paraphrases-3"))
    server.delete(QUEUE)
    second = typed(*arguments)
    assert f"{MODEL}/paraphrases-3: 0 rows enqueued, 11 done before\n" in second.out
    assert f"{MODEL}/avg-3: 11 rows enqueued, 0 done before\n" in second.out
    assert f"{MODEL}/weighted_avg-3: waits for another run\n" in second.out
    assert sent(server) == {"avg-3", "confidence-3"}
    finish_confidences(run_of("confidence-3"))
    server.delete(QUEUE)
    third = typed(*arguments)
    assert f"{MODEL}/weighted_avg-3: 11 rows enqueued, 0 done before\n" in third.out
    assert "waits" not in third.out


def test_paraphrase_and_confidence_send_their_own_step(typed, server):
    first = typed("paraphrase", "--temperature", "0.7")
    assert first.out.startswith(f"{MODEL}/paraphrases-3: 11 rows enqueued, 0 done before\n")
    assert sent(server) == {"paraphrases-3"}
    second = typed("confidence", "--num-draws", "7")
    assert f"{MODEL}/confidence-3: waits for another run\n" in second.out
    assert sent(server) == {"paraphrases-3"}


def test_another_models_paraphrases_are_named_on_the_command_line(command, typed, server, run_of):
    typed("paraphrase")
    finish_paraphrases(run_of("paraphrases-3"))
    result = command(
        "enqueue", "--dataset", "quiz", "--paraphrases", f"{MODEL}/paraphrases-3", "--model",
        "qwen3_4b", "--method", "avg", "--num-paraphrases", "3",
    )  # fmt: skip
    key = "quiz/qwen3_4b/avg-3-by-smollm2_135m_it"
    assert result.err == ""
    sent = f"{key}: 11 rows enqueued, 0 done before\nno worker serves"
    assert result.out.startswith(f"{INSTRUCT.format('qwen3_4b')}\n{sent}")
    assert server.llen("se:model.qwen3_4b") == 1


@pytest.mark.parametrize("name", ["paraphrases-3", "confidence-3"])
def test_steps_are_verified_but_not_scored(command, typed, run_of, name):
    typed("confidence")
    finish_paraphrases(run_of("paraphrases-3"))
    typed("confidence")
    finish_confidences(run_of("confidence-3"))
    assert command("verify", f"{MODEL}/{name}").out == f"{MODEL}/{name}: the manifest holds\n"
    scored = command("score", f"{MODEL}/{name}")
    assert scored.status == 2
    assert f"run {MODEL}/{name} is a step (" in scored.err
    assert command("verify", f"{MODEL}/{name}").status == 0


def test_waiting_for_a_step_and_its_dependents_that_are_done_ends_at_once(typed, run_of):
    typed("enqueue", "--method", "avg")
    finish_paraphrases(run_of("paraphrases-3"), failed=[4])
    typed("enqueue", "--method", "avg")
    avg = run_of("avg-3")
    put_part(avg, range(11))
    merge_run(avg)
    result = typed("enqueue", "--method", "avg", "--wait", "--failure-limit", "0.1")
    assert (result.status, result.err) == (0, "")
    strict = typed("enqueue", "--method", "avg", "--wait", "--failure-limit", "0.05")
    assert strict.status == 1
    assert f"{MODEL}/paraphrases-3: 1 of 11 rows failed" in strict.err


def test_paraphrases_of_questions_that_have_some_are_written_with_a_note(command, server, jsonl):
    rows = [
        {"question": f"what is {i}?", "answers": ["x"], "paraphrases": ["tell me it"] * (i % 2)}
        for i in range(5)
    ]
    data = jsonl(rows, "own.jsonl")
    result = command(
        "paraphrase", "--dataset", "quiz", "--data", data, "--model", "smollm2_135m_it"
    )
    assert result.status == 0
    assert "2 of 5 questions have paraphrases of their own, which are left out" in result.out
    assert sent(server) == {"paraphrases-5"}


def test_sentences_with_a_mask_are_not_paraphrased(command, server, tmp_path):
    result = command("paraphrase", "--dataset", "myriadlama", "--model", "smollm2_135m_it")
    assert (result.status, result.out) == (2, "")
    assert "has manual and automatic paraphrases of its own" in result.err
    assert not (tmp_path / "runs").exists()
