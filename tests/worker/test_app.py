"""The Celery application: its queues and settings; no worker is started here."""

import os
import subprocess
import sys

import pytest

from common.broker import celery_settings
from common.errors import UsageError
from common.models import REGISTRY
from common.settings import Settings
from worker.app import create_app


def test_a_plain_worker_serves_the_queue_of_every_model():
    app = create_app(Settings())
    assert set(app.amqp.queues) == {f"model.{name}" for name in REGISTRY} | {"model.other"}


def test_messages_are_json_acknowledged_late_and_never_prefetched():
    conf = create_app(Settings()).conf
    assert conf.accept_content == ["json"]
    assert conf.task_serializer == "json"
    assert conf.task_acks_late
    assert conf.task_reject_on_worker_lost
    assert conf.worker_prefetch_multiplier == 1
    assert conf.worker_pool_start_method == "spawn"


def test_the_time_limit_and_visibility_timeout_are_settings():
    settings = celery_settings(Settings(time_limit=77, visibility_timeout=9))
    assert settings["task_time_limit"] == 77
    assert settings["broker_transport_options"]["visibility_timeout"] == 9


def test_a_worker_refuses_to_warm_what_is_no_model():
    with pytest.raises(UsageError, match="model 'no such' is no directory here"):
        create_app(Settings(warm_model="no such"))


IMPORTING = """
import click

@click.command()
def own():
    try:
        import worker.app
    except Exception as error:
        print(type(error).__name__)

own()
"""


def test_settings_that_are_invalid_end_the_command_of_celery_and_no_other_program():
    environment = {**os.environ, "SELF_ENSEMBLE_PROCESSES": "none"}
    own, celery = (
        subprocess.run(
            [sys.executable, *arguments], env=environment, capture_output=True, text=True
        )
        for arguments in (["-c", IMPORTING], ["-m", "celery", "-A", "worker", "report"])
    )
    assert (own.returncode, own.stdout) == (0, "UsageError\n"), own.stderr
    assert celery.returncode == 1
    assert celery.stderr.startswith("error: SELF_ENSEMBLE_PROCESSES='none'"), celery.stderr
