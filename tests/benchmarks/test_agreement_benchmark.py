"""benchmarks.agreement: what depends on the size of a call, by both ways to draw."""

import doctest

import pytest
import torch
from scipy.stats import chisquare

from benchmarks import agreement, vocabulary_walk
from benchmarks.agreement import GREEDY, in_calls, num_different
from benchmarks.vocabulary_walk import drawing_by_walk, sample_by_walk
from common.records import Sample
from common.run import SamplingParams
from worker.engine import sampler
from worker.engine.sampler import sample_tokens


def test_in_float32_nothing_depends_on_the_size_of_a_call(document, small_model, monkeypatch):
    monkeypatch.setenv("SELF_ENSEMBLE_COMPILE", "never")
    arguments = ("--samples", 5, "--call", 2, "--draws", 3, "--dtype", "float32", "--repeats", 1)
    report = document(agreement.main, *arguments, "--model", small_model)
    drawn = [("draws", 15), ("confidences", 5), ("written paraphrases", 5)]
    assert [(row["compared"], row["drawn by"], row["number"]) for row in report["rows"]] == [
        *((f"answers of {name}", "-", 25 if name == "per_prompt" else 5) for name in GREEDY),
        *((kind, "noise", number) for kind, number in drawn),
        *((kind, "walk", number) for kind, number in drawn),
    ]
    noise = [row for row in report["rows"] if row["drawn by"] != "walk"]
    assert {row["changed"] for row in noise} == {0}
    assert {row["off by"] for row in noise if row["compared"] == "confidences"} == {0.0}
    assert report["machine"]["dtype"] == "float32"
    assert len(report["ratios"]) == len(report["notes"]) == 2
    assert all(ratio > 0 for ratio in report["ratios"].values())


def test_what_changes_is_counted():
    """By an answer that tells how large its call was."""
    samples = [Sample(("who?",), (), f"id{n}") for n in range(5)]

    def answer(call):
        return {"sizes": [len(call)] * len(call), "names": [sample.uuid for sample in call]}

    large, small = answer(samples), in_calls(samples, 2, answer)
    assert small["sizes"] == [2, 2, 2, 2, 1]
    assert {kind: num_different(large[kind], small[kind]) for kind in large} == {
        "sizes": 5, "names": 0,
    }  # fmt: skip


def test_the_walk_draws_as_the_softmax_says():
    scores = torch.tensor([0.3, -1.2, 1.7, 0.0]).expand(9001, -1)
    places = torch.arange(9001)
    tokens = sample_by_walk(
        scores, SamplingParams(temperature=1, top_p=1), places, torch.zeros(9001).long()
    )
    wanted = scores[0].double().softmax(-1) * 9001
    assert chisquare(tokens.bincount(minlength=4).numpy(), wanted.numpy()).pvalue > 1e-3


@pytest.mark.parametrize("top_p", [0.3, 0.7, 0.9])
def test_the_walk_draws_from_the_nucleus_that_the_noise_draws_from(top_p):
    row = torch.randn(17, generator=torch.Generator().manual_seed(1))
    places = torch.arange(2003)
    tokens = [
        set(
            draw(
                row.expand(2003, -1), SamplingParams(temperature=1, top_p=top_p), places, places
            ).tolist()
        )
        for draw in (sample_tokens, sample_by_walk)
    ]
    assert tokens[0] == tokens[1]
    assert len(tokens[0]) < 17


def test_engines_walk_inside_the_block_alone():
    with drawing_by_walk():
        assert sampler.sample_tokens is sample_by_walk
    assert sampler.sample_tokens is sample_tokens


@pytest.mark.parametrize(("module", "examples"), [(agreement, 2), (vocabulary_walk, 1)])
def test_the_examples_in_docstrings_are_true(module, examples):
    assert doctest.testmod(module) == (0, examples)
