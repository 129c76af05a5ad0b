"""One process per GPU; the way threads wait is set unless the user has set it."""

import os

import pytest

from common.settings import Settings
from worker.app import create_app
from worker.host import default_processes, describe_device, let_threads_wait

NAMES = "OMP_WAIT_POLICY", "GOMP_SPINCOUNT"


@pytest.fixture(autouse=True)
def nothing_is_set(monkeypatch):
    for name in NAMES:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def variables():
    return {name: os.environ[name] for name in NAMES if name in os.environ}


@pytest.mark.parametrize(
    ("processes", "wanted"),
    [(1, {"GOMP_SPINCOUNT": "1000"}), (2, {"OMP_WAIT_POLICY": "PASSIVE"})],
)
def test_threads_of_one_process_spin_a_while_those_of_several_sleep(processes, wanted):
    create_app(Settings(processes=processes))
    assert variables() == wanted


@pytest.mark.parametrize("name", NAMES)
def test_what_the_environment_says_stays(monkeypatch, name):
    monkeypatch.setenv(name, "7")
    let_threads_wait(1)
    assert variables() == {name: "7"}


@pytest.mark.parametrize(("visible", "processes"), [("0,1,3", 3), ("", 1), ("-1", 1), ("2", 1)])
def test_there_is_one_process_for_each_gpu_that_may_be_seen(monkeypatch, visible, processes):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert default_processes() == processes


@pytest.mark.parametrize(
    ("device", "words"),
    [
        ("cpu", "cpu"),
        ("auto", "cuda (2 x NVIDIA H100 80GB HBM3)"),
        ("cuda:1", "cuda:1 (2 x NVIDIA H100 80GB HBM3)"),
    ],
)
def test_a_device_is_told_in_words(monkeypatch, tmp_path, device, words):
    listing = "".join(f"GPU {n}: NVIDIA H100 80GB HBM3 (UUID: GPU-{n}-ab)\\n" for n in range(2))
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\nprintf '{listing}'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert describe_device(device) == words


def test_a_host_without_a_gpu_computes_on_its_cpu(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert describe_device("auto") == "cpu"
