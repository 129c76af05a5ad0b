"""benchmarks.gpu, tried out on a CPU: what it checks first, its rows, and its deadlines."""

import doctest
import signal
import time
from dataclasses import replace

import pytest
import torch

from benchmarks import floors, gpu, gpu_check
from benchmarks.answering import answered
from benchmarks.deadline import Clock, OutOfTime, deadline
from benchmarks.floors import Machine, StepWork
from benchmarks.gpu_check import check
from benchmarks.gpu_engines import Engines
from benchmarks.gpu_table import COLUMNS, Table
from benchmarks.many_questions import (
    MAX_QUESTIONS,
    many_questions,
    prompts_of,
    questions_of_file,
    texts_of,
)
from benchmarks.prompts import pieces_of
from benchmarks.random_llama import TOKENIZER_SIZE, llama_config, make_tokenizer, random_model
from benchmarks.timed_engine import Decoding
from benchmarks.timing import ONCE
from benchmarks.workload import Workload, early_stop
from common.errors import UsageError
from common.layout import pack_fused
from common.models import find_model
from worker.engine.request import Question
from worker.weights import load_tokenizer

CPU = torch.device("cpu")
SMALL = Workload(wordings=3, examples=1, max_new_tokens=5)


@pytest.fixture(scope="module")
def questions():
    return many_questions(gpu_check.QUESTIONS)


@pytest.fixture(scope="module")
def engines(questions):
    tokenizer = make_tokenizer(prompts_of(questions, SMALL), TOKENIZER_SIZE, bos=True)
    return Engines(tokenizer, eager=True)


@pytest.fixture(scope="module")
def model():
    return random_model(llama_config(tiny=True), torch.bfloat16, CPU)


@pytest.fixture
def table(model, engines, questions):
    machine = Machine(multiplied=1e9, moved=1e9)
    return Table(model, engines, questions[:2], machine, {}, Clock(60))


def test_the_command_checks_itself_and_prints_every_row(document):
    arguments = ("--device", "cpu", "--tiny", "--eager", "--questions", 2)
    found = document(gpu.main, *arguments)
    rows = {(row["way"], row["layout"]): row for row in found["rows"]}
    assert len(rows) == 8
    assert all(tuple(row) == COLUMNS for row in rows.values())
    left_out = {key for key, row in rows.items() if row["seconds"] is None}
    assert left_out == {(gpu.FLEX, "concat"), (gpu.FLEX, "shared")}
    assert f"{gpu.FLEX}, concat: not run: --eager leaves it out" in found["notes"]
    ours = [row for row in rows.values() if row["prefill tokens/s"]]
    assert len(ours) == 4
    assert all(value > 0 for row in ours for value in row.values() if not isinstance(value, str))
    first, *_, last = found["rows"]
    assert first["over published"] == 1
    assert last["over published"] == last["questions/s"] / first["questions/s"]


@pytest.fixture
def _short_answers(monkeypatch):
    monkeypatch.setattr(gpu_check, "_TOKENS", 2)


@pytest.mark.usefixtures("_short_answers")
def test_a_kernel_that_answers_otherwise_stops_everything(engines, questions, monkeypatch):
    original = gpu_check.reference_decode

    def other(*arguments):
        decoded = original(*arguments)
        return replace(decoded, tokens=tuple(token + 1 for token in decoded.tokens))

    monkeypatch.setattr(gpu_check, "reference_decode", other)
    with pytest.raises(UsageError, match="does not give the reference's tokens on cpu"):
        check(engines, ("flex_attention",), questions, CPU)


@pytest.mark.usefixtures("_short_answers")
def test_a_kernel_that_does_not_run_is_left_out_and_named(engines, questions, monkeypatch):
    def fail(*arguments):
        raise RuntimeError("no kernel image\nfor this device")

    monkeypatch.setattr("benchmarks.gpu_check.published_decode", fail)
    monkeypatch.setattr("worker.engine.cascade_kernel.CascadeKernel.create_mask", fail)
    unable = check(engines, ("flex_attention",), questions, CPU)
    assert unable == dict.fromkeys(("block", "dense", "cascade"), "no kernel image")
    monkeypatch.setattr("benchmarks.gpu_engines.TimedEngine.answer", fail)
    with pytest.raises(UsageError, match=r"does not run on cpu; try --eager .*no kernel image"):
        check(engines, ("flex_attention",), questions, CPU)


def test_a_row_that_fails_or_takes_too_long_says_why(table):
    cases = [
        (lambda: 1 / 0, "a, concat: not run: division by zero"),
        (lambda: time.sleep(30), "a, concat: not run: not done after 0 s"),
    ]
    for work, note in cases:
        table.clock = Clock(0.2)
        table._attempt("a", "cascade", Workload(), work)
        assert table.notes[-1] == note
        assert table.rows[-1]["seconds"] is None
    table.clock = Clock(-1)
    table._attempt("a", "cascade", Workload(), dict)
    assert table.notes[-1] == "a, concat: not run: the -1 s of all are over"


def test_a_deadline_gives_the_timer_back_that_was_there():
    before = signal.getsignal(signal.SIGALRM)
    with deadline(50):
        with pytest.raises(OutOfTime), deadline(0.05):
            time.sleep(30)
        assert 40 < signal.getitimer(signal.ITIMER_REAL)[0] <= 50
    assert signal.getsignal(signal.SIGALRM) is before


def test_the_work_of_decoding_is_that_of_all_its_steps(engines, model, questions):
    engine, workload = engines.build(model, "cascade"), replace(SMALL, layout="shared")
    asked = [Question(question.wordings[:3]) for question in questions[:4]]
    with early_stop(engine, on=False):
        done = answered(engine, asked, workload.request("flex_attention"), ONCE)
    (decoding,) = engine.decodings(done.counts)
    pieces = pieces_of(engine.tokenizer, asked, workload)
    # What leads in a question is resident, too, and the three wordings read it from there.
    *_, lead_in, _ = engine._resident.cutter.cuts
    assert {s[: len(lead_in)] for each in pieces for s in each.segments} == {lead_in}
    prefix = len(pieces[0].bos + pieces[0].prefix)
    lengths = [len(pack_fused(each, "shared", "sequential").tokens) for each in pieces]
    # The last token of a prompt is fed, and its key no longer the prompt's.
    own = sum(lengths) - 4 * (prefix + 3 * len(lead_in) + 1)
    shared = prefix + len(lead_in)
    assert decoding == Decoding(steps=5, fed=20, own_slots=own, shared_slots=shared)
    assert done.counts.prefill_seconds + done.counts.decode_seconds <= done.seconds


def test_the_floors_example_is_true():
    assert doctest.testmod(floors) == (0, 4)


def test_a_step_reads_every_linear_weight_and_the_head_once():
    config = llama_config()
    work = StepWork.of(config, torch.bfloat16)
    layer = 3072 * (3072 + 2 * 1024) + 3072 * 3072 + 3 * 3072 * 8192
    weights = 28 * layer + 128256 * 3072
    assert (work.weight_bytes, work.flops) == (2 * weights, 2 * weights)
    assert work.slot_bytes == 28 * 2 * 8 * 128 * 2
    # 3.21 billion parameters, those of the norms left out.
    assert round(weights / 1e9, 2) == 3.21


def test_the_random_model_ties_its_head_and_scales_its_rotation(model):
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert model.config.rope_parameters["rope_type"] == "llama3"
    heads, kv_heads = model.config.num_attention_heads, model.config.num_key_value_heads
    assert heads == 3 * kv_heads


def test_there_are_as_many_questions_as_in_webquestions_and_no_two_share_a_wording():
    texts = texts_of(many_questions(MAX_QUESTIONS))
    assert len(set(texts)) == len(texts) == 2032 * 5
    with pytest.raises(UsageError, match="there are 2032 benchmark questions, not 2033"):
        many_questions(2033)


@pytest.mark.model
def test_wordings_are_as_long_as_with_a_real_tokenizer():
    questions = many_questions(MAX_QUESTIONS)
    made = make_tokenizer(prompts_of(questions, Workload()), TOKENIZER_SIZE, bos=False)
    real = load_tokenizer(find_model("smollm2_135m_it"))
    for texts in (texts_of(questions), prompts_of(questions[:1], Workload())):
        lengths = [
            sum(len(ids) for ids in tokenizer(texts, add_special_tokens=False)["input_ids"])
            for tokenizer in (made, real)
        ]
        assert lengths[0] == pytest.approx(lengths[1], rel=0.1)


def test_questions_of_a_file_have_five_wordings_and_come_once(tmp_path):
    file = tmp_path / "q.jsonl"
    row = '{"question": "%s", "answers": ["x"]%s}\n'
    more = ', "paraphrases": ["b?", "c?", "d?", "e?", "f?"]'
    file.write_text(row % ("who?", "") + row % ("who?", "") + row % ("a?", more))
    first, second = questions_of_file(file, 9)
    assert len(set(first.wordings)) == 5
    assert all("who?" in wording for wording in first.wordings)
    assert second.wordings == ("a?", "b?", "c?", "d?", "e?")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "torch sees no GPU here"),
        (("--device", "cpu"), "cpu together with --tiny"),
        (("--device", "cuda:7"), "--device cuda:7: torch sees"),
        (("--device", "toaster"), "--device toaster is no device"),
        (("--device", "cpu", "--tiny", "--eager", "--limit", 0.01), "was not done after 0 s"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_a_sentence(run, arguments, sentence):
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    result = run(gpu.main, *arguments)
    assert result.exit_code == 1
    assert sentence in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.output
