"""A fusion of another package: a function and two rows of tables, compared with the reference."""

import math

import pytest

from common.methods import METHODS, Method
from tests.worker.engine.families import MANY, SAMPLES, make_request
from worker.engine.fusions import FUSIONS

HARMONIC = Method("avg_harmonic", "each", "harmonic_mean", "harmonic mean of probabilities")


def harmonic_mean(logits, weights=None):
    """Log of the harmonic mean of the sequences' probabilities; logits [E, S, V] -> [E, V]."""
    return math.log(logits.shape[1]) - (-logits.log_softmax(dim=-1)).logsumexp(dim=1)


@pytest.fixture
def harmonic(monkeypatch):
    monkeypatch.setitem(FUSIONS, HARMONIC.fusion, harmonic_mean)
    monkeypatch.setitem(METHODS, HARMONIC.name, HARMONIC)


def test_a_new_fusion_equals_the_reference(make_engine, tokenizers, compare, family, harmonic):
    compare(make_engine(family), tokenizers[False], SAMPLES, make_request(HARMONIC.name))


def test_a_new_fusion_answers_beside_the_others_and_otherwise(make_engine, harmonic):
    request = make_request(HARMONIC.name, "avg", "max", "per_prompt")
    answers = make_engine().run(MANY, request).answers
    tokens = {
        name: [answer[name].tokens for answer in answers] for name in ("avg", "max", HARMONIC.name)
    }
    assert tokens[HARMONIC.name] != tokens["avg"]
    assert tokens[HARMONIC.name] != tokens["max"]
    assert all(len(answer[HARMONIC.name].singles) == 3 for answer in answers)
