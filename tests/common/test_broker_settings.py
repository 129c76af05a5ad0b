"""common.broker: names of queues, and the Celery settings that answers must not be lost by."""

import re

import pytest

from common.broker import all_queues, celery_settings, queue_of
from common.errors import UsageError
from common.models import REGISTRY, find_model
from common.settings import Settings


@pytest.mark.parametrize("name", REGISTRY)
def test_a_registered_model_has_a_queue_of_its_own(name):
    assert queue_of(find_model(name)) == f"model.{name}"


@pytest.mark.parametrize("name", ["someone/model", "/tmp"])
def test_any_other_model_shares_one_queue(name):
    assert queue_of(find_model(name)) == "model.other"


def test_a_worker_without_options_serves_every_queue_once():
    assert len(set(all_queues())) == len(all_queues()) == len(REGISTRY) + 1
    assert {queue_of(find_model(name)) for name in [*REGISTRY, "a/b"]} == set(all_queues())


def test_queue_names_need_no_quoting():
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+", queue) for queue in all_queues())


def test_only_json_is_sent_and_accepted():
    made = celery_settings(Settings())
    assert made["accept_content"] == made["result_accept_content"] == ["json"]
    assert made["task_serializer"] == made["result_serializer"] == "json"


def test_a_message_is_acknowledged_after_the_work_and_given_back_when_a_process_is_lost():
    made = celery_settings(Settings())
    assert made["task_acks_late"] is True
    assert made["task_reject_on_worker_lost"] is True


def test_a_worker_takes_one_message_at_a_time():
    assert celery_settings(Settings())["worker_prefetch_multiplier"] == 1


def test_a_model_is_never_inherited_through_a_fork():
    assert celery_settings(Settings())["worker_pool_start_method"] == "spawn"


@pytest.mark.parametrize(("given", "prefix"), [({}, "se:"), ({"namespace": "red"}, "red:")])
def test_keys_of_this_project_bear_the_prefix_of_its_namespace(given, prefix):
    options = celery_settings(Settings(**given))["broker_transport_options"]
    assert options["global_keyprefix"] == prefix


def test_the_settings_of_a_process_reach_celery():
    settings = Settings(broker="redis://h:1/2", time_limit=99, visibility_timeout=41)
    made = celery_settings(settings)
    assert (made["broker_url"], made["task_time_limit"]) == ("redis://h:1/2", 99)
    assert made["broker_transport_options"]["visibility_timeout"] == 41


def test_a_socket_is_spelt_as_celery_spells_it():
    made = celery_settings(Settings(broker="unix:///run/redis.sock?db=3"))
    assert made["broker_url"] == "redis+socket:///run/redis.sock?virtual_host=3"


def test_tls_is_a_setting_of_its_own_and_checks_certificates():
    """In the URL alone Flower does not find it, and Celery would check nothing."""
    made = celery_settings(Settings(broker="rediss://h:1/2"))
    assert made["broker_url"] == "rediss://h:1/2"
    assert made["broker_use_ssl"] == {"ssl_cert_reqs": "required"}
    assert "broker_use_ssl" not in celery_settings(Settings())


def test_a_broker_that_is_none_is_refused_before_celery_sees_it():
    with pytest.raises(UsageError, match="SELF_ENSEMBLE_BROKER"):
        celery_settings(Settings(broker="redis://host/abc"))


@pytest.mark.parametrize(("timeout", "interval"), [(3, 1), (20, 2), (60, 5), (4000, 5)])
def test_lost_messages_are_looked_for_often_enough(timeout, interval):
    options = celery_settings(Settings(visibility_timeout=timeout))["broker_transport_options"]
    assert options["unacked_restore_interval"] == interval <= timeout
