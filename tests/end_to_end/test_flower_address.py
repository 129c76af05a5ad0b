"""Where Flower listens when it is started with this project's application."""

import os
import sys
from pathlib import Path

import psutil
import pytest

from producer.local import child
from tests.end_to_end.conftest import until

COMMAND = [sys.executable, "-m", "celery", "-A", "worker", "flower", "--port=0"]


def listening(process: psutil.Process) -> set[str]:
    connections = process.net_connections(kind="tcp")
    return {c.laddr.ip for c in connections if c.status == psutil.CONN_LISTEN}


@pytest.mark.parametrize(
    ("options", "variables", "address"),
    [
        ([], {}, "127.0.0.1"),
        ([], {"FLOWER_BASIC_AUTH": "user:secret"}, "127.0.0.1"),
        (["--address=0.0.0.0", "--basic-auth=user:secret"], {}, "0.0.0.0"),
        ([], {"FLOWER_ADDRESS": "0.0.0.0", "FLOWER_BASIC_AUTH": "user:secret"}, "0.0.0.0"),
        (["--conf=open.py", "--address=0.0.0.0"], {}, "0.0.0.0"),
    ],
)
def test_flower_listens_on_this_machine_or_has_a_password(
    settings, tmp_path, monkeypatch, options, variables, address
):
    monkeypatch.chdir(tmp_path)
    Path("open.py").write_text("basic_auth = ['user:secret']\n")
    log = tmp_path / "flower.log"
    with child([*COMMAND, *options], log, environment(settings, variables)) as process:
        flower = psutil.Process(process.pid)
        until(lambda: process.poll() is not None or listening(flower), "listening", log)
        assert process.poll() is None, log.read_text()
        assert listening(flower) == {address}


@pytest.mark.parametrize(
    ("options", "variables"),
    [
        (["--address=0.0.0.0"], {}),
        (["--address=::"], {}),
        ([], {"FLOWER_ADDRESS": "192.0.2.1"}),
        (["--conf=open.py"], {}),
    ],
)
def test_flower_is_not_started_on_an_open_address_without_a_password(
    settings, tmp_path, monkeypatch, options, variables
):
    monkeypatch.chdir(tmp_path)
    Path("open.py").write_text("address = '0.0.0.0'\n")
    log = tmp_path / "flower.log"
    with child([*COMMAND, *options], log, environment(settings, variables)) as process:
        until(lambda: process.poll() is not None, "the end", log)
    assert process.returncode == 1
    assert "without a password" in log.read_text()
    assert "Traceback" not in log.read_text()


def environment(settings, variables):
    root = str(Path(__file__).parents[2])
    return {**os.environ, **settings.to_environment(), "PYTHONPATH": root, **variables}
