"""Celery wiring: the application, its queues and its life-cycle steps."""

import sys

import click
from celery import Celery
from kombu.entity import Queue

from common.broker import all_queues, celery_settings
from common.errors import UsageError
from common.models import find_model
from common.settings import Settings
from worker.host import default_processes, let_threads_wait
from worker.main_process.dead_letters import put_bad_messages_aside
from worker.main_process.flower_address import keep_flower_private
from worker.main_process.health import Health, TakesMessages
from worker.main_process.idle import Idle
from worker.main_process.lease import Lease
from worker.main_process.presence import Presence
from worker.main_process.readiness import Readiness

MAIN_PROCESS = "worker.main_process"


def create_app(settings: Settings) -> Celery:
    """The Celery application of a worker and of Flower.

    Raises UsageError if the settings ask to warm what is no model.
    """
    processes = settings.processes or default_processes()
    let_threads_wait(processes)
    if settings.warm_model:
        find_model(settings.warm_model, settings.warm_revision)
    put_bad_messages_aside()
    keep_flower_private()
    app = Celery("self_ensemble", include=["worker.tasks"])
    app.conf.update(celery_settings(settings))
    app.conf.broker_transport_options["queue_order_strategy"] = (
        f"{MAIN_PROCESS}.affinity:StickyCycle"
    )
    app.conf.worker_concurrency = processes
    app.conf.worker_pool = f"{MAIN_PROCESS}.pool:ModelPool"
    app.conf.task_queues = [Queue(name, routing_key=name) for name in all_queues()]
    app.steps["worker"].update((Presence, Readiness, Health))
    app.steps["consumer"].update((Lease, Idle, TakesMessages))
    return app


def _in_celery_command() -> bool:
    """Whether this module is being imported by the command `celery -A worker ...`."""
    context = click.get_current_context(silent=True)
    commands = sys.modules.get("celery.bin.celery")
    return bool(context and commands and context.find_root().command is commands.celery)


try:
    app = create_app(Settings.from_environment())
except UsageError as error:
    if not _in_celery_command():
        raise  # for the program that imports this module to catch
    # The command would show any exception with its traceback.
    sys.exit(f"error: {error}")
