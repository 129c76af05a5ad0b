"""The three real data sets, from `producer run` to the report: every method, scores, one page."""

from pathlib import Path

import pytest

from common.methods import METHODS
from common.run import RunKey
from common.store import StoreFilesystem, list_runs, verify_run
from tests.end_to_end.conftest import producer

DATA = Path(__file__).parents[3] / "shared" / "data"
MODEL = "smollm2_135m_it"
PLAIN = [name for name, method in METHODS.items() if method.visibility != "cross_manual"]
SETS = {
    # name: (file, few-shot file, methods, names of the preparatory runs)
    "graphquestions": (
        "graphquestions_test_paraphrases.jsonl", None, PLAIN, ["confidence-5"],
    ),
    "myriadlama": (
        "myriadlama_test_first200.jsonl", "myriadlama_fewshot5_train.jsonl", list(METHODS),
        ["confidence-m5a5s5"],
    ),
    "webqa": (
        "webquestions_test.jsonl", "webquestions_train.jsonl", PLAIN,
        ["confidence-5", "paraphrases-5"],
    ),
}  # fmt: skip

pytestmark = [
    pytest.mark.model,
    pytest.mark.skipif(not DATA.is_dir(), reason="the real data sets are not here"),
]


@pytest.mark.parametrize("name", SETS)
def test_every_method_answers_is_scored_and_reported(name, settings, tmp_path):
    file, few_shot, methods, steps = SETS[name]
    method_options = [part for method in methods for part in ("--method", method)]
    few_shot_options = ["--few-shot", DATA / few_shot, "--num-few-shot", 5] if few_shot else []
    producer(
        "run", "--dataset", name, "--data", DATA / file, *few_shot_options, "--model", MODEL,
        *method_options, "--max-samples", 3, "--num-draws", 2, settings=settings,
    )  # fmt: skip
    runs = {run.key.name: run for run in list_runs(StoreFilesystem.open(settings.store))}
    answering = [str(run.key) for run in runs.values() if run.spec.method in METHODS]
    assert len(answering) == len(methods)
    assert set(runs) - {RunKey.parse(key).name for key in answering} == set(steps)
    producer("score", *answering, settings=settings)
    assert {key: problems for key, run in runs.items() if (problems := verify_run(run))} == {}
    page = tmp_path / "page.html"
    output = producer("report", *answering, "--html", page, settings=settings)
    assert f"{len(methods)} runs on 3 questions" in output
    assert page.read_text().startswith("<!DOCTYPE html>")


def test_each_kind_of_mask_is_drawn_of_a_real_sample(settings, tmp_path):
    for name, method in (
        ("graphquestions", "flex_attention"),
        ("myriadlama", "flex_attention_cross_manual"),
    ):
        picture = tmp_path / f"{name}.png"
        producer(
            "mask", "--dataset", name, "--data", DATA / SETS[name][0], "--method", method,
            "--png", picture, settings=settings,
        )  # fmt: skip
        assert picture.read_bytes().startswith(b"\x89PNG")
