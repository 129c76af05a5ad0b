"""The broker: names of tasks and queues, and the Celery settings, as data.

docs/operations.md has the reason for each setting. Imports no celery.
"""

from typing import Any

from common.broker_url import parse_broker_url
from common.models import REGISTRY, ModelSource, name_of_slug
from common.run import RunKey
from common.settings import Settings

ANSWER_SHARD = "self_ensemble.answer_shard"
OTHER_QUEUE = "model.other"
DEAD_LETTERS = "dead"
"""The list, after the key prefix, of the messages that no worker can use, as they came."""


def key_prefix(namespace: str) -> str:
    """Return what every key, queue and channel of a namespace begins with.

    >>> key_prefix("se")
    'se:'
    """
    return f"{namespace}:"


def queue_of(model: ModelSource) -> str:
    """Return the queue of a model: its own if registered, else the one for all others.

    >>> from common.models import find_model
    >>> queue_of(find_model("qwen3_4b")), queue_of(find_model("someone/model"))
    ('model.qwen3_4b', 'model.other')
    """
    return queue_of_slug(model.slug)


def queue_of_slug(slug: str) -> str:
    """Return the queue of a model by its part of a run's key.

    Revisions of a model share its queue.

    >>> queue_of_slug("qwen3_4b"), queue_of_slug("qwen3_4b+main"), queue_of_slug("someone--model")
    ('model.qwen3_4b', 'model.qwen3_4b', 'model.other')
    """
    name = name_of_slug(slug)
    return f"model.{name}" if name in REGISTRY else OTHER_QUEUE


def queue_of_run(run: str) -> str:
    """Return the queue of a run's model. run: its key.

    >>> queue_of_run("webqa/qwen3_4b/avg-5")
    'model.qwen3_4b'
    """
    return queue_of_slug(RunKey.parse(run).model)


def all_queues() -> list[str]:
    """List every queue; a worker without -Q serves them all."""
    return [*(f"model.{name}" for name in REGISTRY), OTHER_QUEUE]


def celery_settings(settings: Settings) -> dict[str, Any]:
    """Return Celery's configuration, the same for producer, workers and Flower.

    Raises UsageError for an invalid broker URL.
    """
    transport = {
        "global_keyprefix": key_prefix(settings.namespace),
        "visibility_timeout": settings.visibility_timeout,
        "unacked_restore_interval": max(1, min(5, settings.visibility_timeout // 10)),
        "unacked_restore_throttle": 1,
        "socket_timeout": 30,
        "socket_connect_timeout": 5,
        "socket_keepalive": True,
        "health_check_interval": 15,
        "priority_steps": [0],
    }
    url = parse_broker_url(settings.broker)
    tls = {} if url.celery_tls is None else {"broker_use_ssl": url.celery_tls}
    return {
        **tls,
        "broker_url": url.for_celery,
        "broker_transport_options": transport,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "task_serializer": "json",
        "result_serializer": "json",
        "accept_content": ["json"],
        "result_accept_content": ["json"],
        "task_ignore_result": True,
        "task_default_queue": OTHER_QUEUE,
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "task_time_limit": settings.time_limit,
        "worker_prefetch_multiplier": 1,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "worker_pool": "prefork",
        "worker_pool_start_method": "spawn",
        "worker_proc_alive_timeout": 1800.0,
        "worker_send_task_events": True,
        "worker_hijack_root_logger": False,
    }
