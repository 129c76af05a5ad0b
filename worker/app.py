"""Celery wiring: the application, its queues and its life-cycle steps."""

import os
import sys

from celery import Celery
from kombu.entity import Queue

from common.broker import all_queues, celery_settings
from common.config import Settings
from common.errors import UsageError
from common.models import find_model
from worker.devices import default_processes
from worker.lease import Lease
from worker.readiness import Readiness


def create_app(settings: Settings) -> Celery:
    """The Celery application of a worker, and of Flower."""
    # For the children, before they load torch: OpenMP threads that sleep while they wait keep
    # their speed beside other processes; spinning ones were 5 to 10 times slower there.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if settings.warm_model:
        find_model(settings.warm_model)
    app = Celery("self_ensemble", include=["worker.tasks"])
    app.conf.update(celery_settings(settings))
    app.conf.broker_transport_options["queue_order_strategy"] = "worker.affinity:StickyCycle"
    app.conf.worker_concurrency = settings.processes or default_processes()
    app.conf.task_queues = [Queue(name, routing_key=name) for name in all_queues()]
    app.steps["worker"].add(Readiness)
    app.steps["consumer"].add(Lease)
    return app


try:
    app = create_app(Settings.from_environment())
except UsageError as error:
    sys.exit(f"error: {error}")
