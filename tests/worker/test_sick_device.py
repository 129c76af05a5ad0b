"""An error of a sick device ends the process; other errors do not."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from worker.sick_device import EXIT_STATUS, is_sick_device

ROOT = Path(__file__).parents[2]

ANSWERING = """
import sys
from worker.bisect import Bisector
from worker.engine.request import nobody_listens

class Engine:
    def run(self, questions, request, on_answered):
        raise RuntimeError(sys.argv[1])

print(len(Bisector(Engine(), nobody_listens).answer(["one", "two"], None)), "outcomes")
"""

LOADING = """
import sys
from common.settings import Settings
from common.errors import StopRun
from worker.manager import ModelManager

def fail(*arguments):
    raise RuntimeError(sys.argv[1])

ModelManager._load = fail
try:
    ModelManager(Settings(), 0).engine_of("owner/model", "owner/model", "auto", 7)
except StopRun as error:
    print("a verdict on the run")
"""


def wrapped(message):
    try:
        try:
            raise torch.AcceleratorError(message)
        except RuntimeError as error:
            raise ValueError("a layer failed") from error
    except ValueError as error:
        return error


@pytest.mark.parametrize(
    "message",
    [
        "CUDA error: device-side assert triggered\nCompile with TORCH_USE_CUDA_DSA",
        "CUDA error: an illegal memory access was encountered",
        "Triton Error [CUDA]: misaligned address",
        "CUDA error: unspecified launch failure",
    ],
)
def test_errors_that_poison_a_context_are_known_wherever_they_are_wrapped(message):
    assert is_sick_device(RuntimeError(message))
    assert is_sick_device(wrapped(message))


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("CUDA error: invalid argument"),
        RuntimeError("shape mismatch after an illegal memory access"),
        ValueError("CUDA error: device-side assert triggered"),
    ],
)
def test_errors_that_a_process_survives_are_not(error):
    assert not is_sick_device(error)


@pytest.mark.parametrize(
    ("program", "printed"),
    [(ANSWERING, "2 outcomes\n"), (LOADING, "a verdict on the run\n")],
    ids=["answering", "loading"],
)
def test_a_process_whose_device_is_sick_ends_and_gives_no_verdict(program, printed):
    sick = run(program, "CUDA error: device-side assert triggered")
    assert (sick.returncode, sick.stdout) == (EXIT_STATUS, ""), sick.stderr
    other = run(program, "size mismatch")
    assert (other.returncode, other.stdout) == (0, printed), other.stderr


def run(program, message):
    command = [sys.executable, "-c", program, message]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
