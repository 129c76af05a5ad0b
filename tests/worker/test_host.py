"""How torch's threads wait is set before torch is loaded, and never against the user."""

import os

import pytest

from common.settings import Settings
from worker.app import create_app
from worker.host import let_threads_wait

NAMES = "OMP_WAIT_POLICY", "GOMP_SPINCOUNT"


@pytest.fixture(autouse=True)
def nothing_is_set(monkeypatch):
    for name in NAMES:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def found():
    return {name: os.environ[name] for name in NAMES if name in os.environ}


@pytest.mark.parametrize(
    ("processes", "wanted"),
    [(1, {"GOMP_SPINCOUNT": "1000"}), (2, {"OMP_WAIT_POLICY": "PASSIVE"})],
)
def test_threads_of_one_process_spin_a_while_those_of_several_sleep(processes, wanted):
    create_app(Settings(processes=processes))
    assert found() == wanted


@pytest.mark.parametrize("name", NAMES)
def test_what_the_environment_says_stays(monkeypatch, name):
    monkeypatch.setenv(name, "7")
    let_threads_wait(1)
    assert found() == {name: "7"}
