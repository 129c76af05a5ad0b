"""Faults of a GPU: memory that runs out, and errors that the process does not survive."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.worker.engine.families import known, make_request
from worker.bisect import Bisector
from worker.engine.attention.sdpa import SdpaBackend
from worker.engine.budget import Budget
from worker.engine.engine import Engine
from worker.engine.request import nobody_listens
from worker.sick_device import EXIT_STATUS

ROOT = Path(__file__).parents[2]

SPARE_BYTES = 100 << 20
"""Room for the dense mask of a pack of 2,048 tokens (75 MB while it is made), not of 4,096."""

ASSERT = """
import torch
from worker.bisect import Bisector
from worker.engine.request import nobody_listens

class Engine:
    def run(self, questions, request, on_answered):
        torch.zeros(3, device="cuda")[torch.tensor([7], device="cuda")]
        torch.cuda.synchronize()

Bisector(Engine(), nobody_listens).answer(["one", "two"], None)
print("the process goes on")
"""


@pytest.fixture
def little_memory(cuda):
    """Leaves torch the memory that it has reserved, and some more."""

    def leave(spare):
        torch.cuda.empty_cache()
        total = torch.cuda.get_device_properties(cuda).total_memory
        reserved = torch.cuda.memory_reserved(cuda)
        torch.cuda.set_per_process_memory_fraction((reserved + spare) / total, cuda)

    yield leave
    torch.cuda.set_per_process_memory_fraction(1.0, cuda)


def test_memory_that_runs_out_halves_the_budget_and_changes_no_answer(
    cuda, tiny_model, tokenizer, little_memory
):
    names = [f"the one who is number {number}" for number in range(300)]
    questions = [known((f"who is {name}?", f"{name} is?", f"name {name}")) for name in names]
    engine = Engine(tiny_model().to(cuda), tokenizer, SdpaBackend(), Budget(pack_tokens=4096))
    request = make_request("flex_attention")
    before = engine.run(questions, request)
    assert before.stats.prefill_tokens > 4096
    little_memory(SPARE_BYTES)
    after = Bisector(engine, nobody_listens).answer(questions, request)
    assert engine.budget.pack_tokens < 4096
    pairs = zip(before.answers, after, strict=True)
    assert all(a["flex_attention"].tokens == b["flex_attention"].tokens for a, b in pairs)


def test_a_device_side_assert_ends_the_process_instead_of_failing_every_sample(cuda):
    process = subprocess.run(
        [sys.executable, "-c", ASSERT], cwd=ROOT, capture_output=True, text=True
    )
    assert process.returncode == EXIT_STATUS, process.stderr
    assert "the process goes on" not in process.stdout
