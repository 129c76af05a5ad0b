"""benchmarks.baselines: each gives the reference's tokens, and its row says what it did."""

import doctest
import sys
from pathlib import Path

import pytest

from benchmarks.baselines import baseline
from benchmarks.baselines.__main__ import main
from benchmarks.baselines.baseline import by_paraphrase, plain_prompts, same_share
from benchmarks.baselines.job import BATCHES, PUBLISHED, Job
from benchmarks.baselines.published import published_decode
from benchmarks.baselines.vllm_baseline import ask, run_vllm
from benchmarks.measure import RepeatLimit
from benchmarks.workload import Workload
from common.layout import pack_fused
from common.methods import METHODS
from common.models import find_model
from worker.engine.answer_end import EndRules
from worker.engine.reference import reference_decode
from worker.model.loader import load_model
from worker.model.tokenizer import PromptTokenizer

NOTHING = EndRules(stop=())
"""Nothing ends an answer."""


@pytest.fixture(scope="module")
def workload(small_model):
    return Workload(model=small_model, examples=1, max_new_tokens=5, dtype="float32")


@pytest.fixture(scope="module")
def loaded(workload):
    return load_model(workload.source, "float32", "cpu")


@pytest.fixture(scope="module")
def packed(workload, loaded):
    tokenizer = PromptTokenizer(loaded.tokenizer)
    return [
        pack_fused(pieces, "concat", "sequential")
        for pieces in workload.prompt_tokens(tokenizer, workload.questions(2))
    ]


@pytest.mark.parametrize("kind", PUBLISHED)
def test_the_published_algorithm_gives_the_references_tokens(loaded, packed, kind):
    got = [published_decode(loaded.model, prompt, 5, kind) for prompt in packed]
    wanted = [
        reference_decode(loaded.model, [prompt], METHODS["flex_attention"], NOTHING, (), 5).tokens
        for prompt in packed
    ]
    assert got == wanted
    assert len({token for tokens in wanted for token in tokens}) > 2


@pytest.fixture
def job(workload):
    return Job(workload, workload.loaded_engine(), samples=3, limit=RepeatLimit(repeats=1))


def test_every_baseline_on_plain_prompts_gives_the_same_tokens_in_float32(job):
    baselines = [*job.transformers(prompts=7, published=1), job.engine("per_prompt")]
    assert [each.note for each in baselines[len(PUBLISHED) :]] == [""] * (len(BATCHES) + 2)
    plain = [each for each in baselines if each.tokens]
    assert [len(each.tokens) for each in plain] == [7, 7, 7, 15]
    assert [same_share(each.tokens, plain[0].tokens) for each in plain] == [1.0] * 4


def test_the_engine_reads_all_paraphrases_of_a_question_for_one_answer(job):
    fused = job.engine("flex_attention")
    assert (fused.paraphrases, fused.tokens) == (15, {})


def test_batches_hold_one_paraphrase_of_many_questions(loaded, workload):
    tokenizer = PromptTokenizer(loaded.tokenizer)
    prompts = plain_prompts(workload.prompt_tokens(tokenizer, workload.questions(3)))
    places = [prompt.place for prompt in by_paraphrase(prompts)]
    assert places[:4] == [(0, 0), (1, 0), (2, 0), (0, 1)]
    assert len(places) == 15


def test_baselines_are_compared_in_one_table(document, small_model):
    arguments = ("--samples", 2, "--prompts", 3, "--published", 1, "--examples", 0, "--repeats", 1)
    report = document(main, *arguments, "--model", small_model, "--vllm-python", sys.executable)
    rows = {row["way"]: row for row in report["rows"]}
    published, vllm = rows["published algorithm"], rows["vLLM"]
    assert published["over published"] == 1
    assert "2 questions" in published["note"]
    assert "extrapolated" in published["note"]
    assert vllm["questions/s"] is None
    assert vllm["note"] == "does not run here: ModuleNotFoundError: No module named 'vllm'"
    flex = rows["engine, flex_attention"]
    assert report["ratios"]["engine, flex_attention over published algorithm"] == pytest.approx(
        flex["questions/s"] / published["questions/s"]
    )
    assert all(row["prompts/s"] for row in report["rows"] if row["way"] != "vLLM")


FAKE_VLLM = """
from types import SimpleNamespace as _Some
__version__ = "0.0"
class SamplingParams:
    def __init__(self, **options):
        assert options["ignore_eos"] and options["temperature"] == 0
        self.length = options["max_tokens"]
class LLM:
    def __init__(self, model, **options):
        assert options["enable_prefix_caching"] and options["dtype"] == "float32"
    def reset_prefix_cache(self):
        pass
    def generate(self, prompts, sampling, use_tqdm):
        tokens = [p["prompt_token_ids"][: sampling.length] for p in prompts]
        return [_Some(outputs=[_Some(token_ids=t)]) for t in tokens]
"""


def test_vllm_is_asked_in_an_interpreter_of_its_own(
    loaded, workload, small_model, tmp_path, monkeypatch
):
    (tmp_path / "vllm.py").write_text(FAKE_VLLM)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    tokenizer = PromptTokenizer(loaded.tokenizer)
    prompts = plain_prompts(workload.prompt_tokens(tokenizer, workload.questions(2)))
    vllm = run_vllm(
        Path(sys.executable), find_model(small_model), "float32", prompts[:5], prompts[5:], 3,
        RepeatLimit(repeats=2),
    )  # fmt: skip
    assert vllm.time.repeats == 2
    assert vllm.tokens == {p.place: p.tokens[:3] for p in prompts[:5]}
    assert vllm.note == "version 0.0, prefix caching on, 0 cores reserved"


def test_a_worker_that_fails_is_quoted(tmp_path, monkeypatch):
    (tmp_path / "vllm.py").write_text("raise SystemExit('no CPU like that')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert ask(Path(sys.executable), {}, tmp_path) == "no CPU like that"


def test_an_interpreter_that_is_not_there_is_refused(run, tmp_path):
    result = run(main, "--vllm-python", tmp_path / "python")
    assert result.exit_code == 2
    assert f"File '{tmp_path / 'python'}' does not exist" in result.stderr.splitlines()[-1]


def test_the_example_of_equal_tokens_is_true():
    assert doctest.testmod(baseline) == (0, 1)
