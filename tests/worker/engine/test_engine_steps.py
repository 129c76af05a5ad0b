"""A decode step changes its bucket alone, and waits for no value of the device."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from common.methods import CONFIDENCE
from common.run import SamplingParams
from tests.worker.engine.families import MANY, make_request
from tests.worker.engine.other_families import build
from worker.engine.attention.cascade_prefill import CascadeBackend
from worker.engine.engine import Engine
from worker.engine.model_runner import ModelRunner

WAITING = {
    "_local_scalar_dense", "nonzero", "_unique2", "unique_dim", "unique_consecutive",
    "masked_select", "equal", "boolean index",
}  # fmt: skip
"""Operators that need a value, or a size that depends on values, from the device."""


class NotedOperators(TorchDispatchMode):
    """The names of all operators that are called."""

    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.overloadpacket.__name__
        if name in ("index", "index_put", "index_put_") and any(map(is_mask, args[1])):
            name = "boolean index"
        self.names.add(name)
        return function(*args, **kwargs or {})


def is_mask(index):
    return isinstance(index, torch.Tensor) and index.dtype == torch.bool


@pytest.fixture
def operators_of_steps(monkeypatch):
    """Operators of each call of `ModelRunner.step`."""
    steps, original = [], ModelRunner.step

    def step(runner, bucket):
        with NotedOperators() as noted:
            original(runner, bucket)
        steps.append(noted.names)

    monkeypatch.setattr(ModelRunner, "step", step)
    return steps


def waiting(steps):
    return set().union(*steps) & WAITING


@pytest.mark.parametrize("method", ["per_prompt", "avg", "max", "flex_attention"])
def test_a_greedy_step_waits_for_no_value(make_engine, operators_of_steps, family, method):
    make_engine(family).run(MANY, make_request(method, max_new_tokens=7))
    assert len(operators_of_steps) == 7
    assert "argmax" in operators_of_steps[0]
    assert waiting(operators_of_steps) == set()


def test_a_step_past_a_sliding_window_waits_for_no_value(operators_of_steps, tokenizers):
    model = build("gemma2", head_dim=16, sliding_window=5)
    Engine(model, tokenizers[False], CascadeBackend()).run(MANY, make_request("avg"))
    assert waiting(operators_of_steps) == set()


def test_a_step_that_draws_from_all_tokens_waits_for_no_value(make_engine, operators_of_steps):
    sampling = SamplingParams(temperature=1.0, top_p=1.0, num_draws=3)
    request = make_request("per_prompt", methods=(CONFIDENCE,), sampling=sampling)
    make_engine().run(MANY, request)
    assert waiting(operators_of_steps) == set()


def test_the_operators_that_wait_are_noted(operators_of_steps):
    """The tests above could not fail if the names were others."""
    with NotedOperators() as noted:
        values = torch.tensor([3, 0, 3])
        int(values[0]), values.nonzero(), values.unique(), values.unique(dim=0), values[values > 1]
        values.masked_select(values > 1), values.equal(values)
        values.unique_consecutive()
    assert waiting([noted.names]) == WAITING
