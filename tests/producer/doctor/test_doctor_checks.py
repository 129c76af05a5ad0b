"""Each check of `producer doctor`: what is a fault, what is to be known, what is well."""

import pytest

from common.broker import all_queues
from common.live_workers import HeldModel, LiveWorker
from common.store import StoreFilesystem
from common.store.identity import store_id
from producer.doctor.finding import Finding
from producer.doctor.queues import check_queues
from producer.doctor.server import (
    check_eviction,
    check_memory,
    check_persistence,
    check_server,
    check_version,
)
from producer.doctor.stores import check_same_store, check_space, check_store
from producer.doctor.workers import check_versions, check_workers
from tests.common.permissions import allowing


def worker(**changes):
    fields = {
        "name": "celery@gpu-1", "place": "gpu-1:7", "processes": 1, "queues": ("model.other",),
        "version": "0.1.0", "since": 1, "store": "/data",
    }  # fmt: skip
    return LiveWorker(**fields | changes)


@pytest.mark.parametrize(
    ("info", "level", "said"),
    [
        ({"redis_version": "7.2.4"}, "ok", "redis://here answers, Redis 7.2.4"),
        ({"redis_version": "7.2.4", "valkey_version": "9.1.2"}, "ok", "Valkey 9.1.2"),
        ({"redis_version": "5.0.7"}, "fault", "Redis 5.0.7"),
    ],
)
def test_an_old_server_is_a_fault(info, level, said):
    finding = check_version(info, "redis://here")
    assert finding.level == level
    assert said in finding.text


@pytest.mark.parametrize(
    ("policy", "limit", "level"),
    [("noeviction", 99, "ok"), ("allkeys-lru", 99, "fault"), ("allkeys-lru", 0, "warning")],
)
def test_a_server_that_deletes_messages_is_a_fault(policy, limit, level):
    finding = check_eviction({"maxmemory_policy": policy, "maxmemory": limit})
    assert finding.level == level
    assert ("maxmemory-policy noeviction" in finding.remedy) is (level != "ok")


@pytest.mark.parametrize(
    ("used", "limit", "level"), [(89, 100, "ok"), (90, 100, "fault"), (9, 0, "ok")]
)
def test_a_full_server_is_a_fault(used, limit, level):
    assert check_memory({"used_memory": used, "maxmemory": limit}).level == level


@pytest.mark.parametrize(
    ("info", "saves", "level", "said"),
    [
        ({"aof_enabled": 1, "aof_last_write_status": "ok"}, "", "ok", "append-only"),
        ({"aof_enabled": 0}, "", "warning", "a restart loses the queues"),
        ({"aof_enabled": 0}, "3600 1", "warning", "snapshots"),
        ({"aof_enabled": 0}, None, "warning", "snapshots"),
        ({"aof_enabled": 1, "aof_last_write_status": "err"}, "", "fault", "aof_last_write_status"),
        ({"aof_enabled": 0, "rdb_last_bgsave_status": "err"}, "9 1", "fault", "bgsave"),
    ],
)
def test_a_server_that_cannot_write_is_a_fault_and_one_that_forgets_a_warning(
    info, saves, level, said
):
    finding = check_persistence(info, saves)
    assert finding.level == level
    assert said in finding.text


def test_a_real_server_is_described(server):
    findings = list(check_server(server, "redis://here"))
    assert len(findings) == 4
    assert all(finding.subject == "redis" for finding in findings)
    assert {finding.level for finding in findings} <= {"ok", "warning"}


def test_a_store_that_cannot_be_written_is_a_fault(tmp_path):
    (well, space) = check_store(str(tmp_path))
    assert (well.level, space.text.split()[1:3]) == ("ok", ["GiB", "left"])
    with allowing(tmp_path, 0o555):
        (denied,) = check_store(str(tmp_path))
    assert denied.level == "fault"
    assert "cannot be written" in denied.text


@pytest.mark.parametrize(("gib", "level"), [(11, "ok"), (9, "warning"), (0.5, "fault")])
def test_a_disk_without_room_is_a_fault(gib, level):
    assert check_space(int(gib * 2**30)).level == level


def test_a_worker_with_another_store_is_a_fault(tmp_path):
    own = store_id(StoreFilesystem.open(str(tmp_path)))
    good, blind = worker(store_id=own), worker(name="celery@blind", store_id=None)
    other = worker(name="celery@other", store="/elsewhere", store_id="f" * 32)
    (well,) = check_same_store(str(tmp_path), [good])
    assert (well.level, well.text) == ("ok", f"every worker has this one (id {own[:12]})")
    warned, wrong = check_same_store(str(tmp_path), [good, blind, other])
    assert (warned.level, wrong.level) == ("warning", "fault")
    assert "celery@blind" in warned.text
    assert "celery@other has another one (/elsewhere, id ffffffffffff" in wrong.text
    assert "SELF_ENSEMBLE_STORE" in wrong.remedy


def test_a_new_store_and_a_store_without_workers_are_well(tmp_path):
    (new,) = check_same_store(str(tmp_path), [worker()])
    assert (new.level, new.text[:4]) == ("ok", "new:")
    store_id(StoreFilesystem.open(str(tmp_path)))
    assert list(check_same_store(str(tmp_path), [])) == []


@pytest.mark.parametrize(("messages", "level"), [(0, "warning"), (3, "fault")])
def test_no_worker_is_a_fault_if_messages_wait(messages, level):
    (finding,) = check_workers([], messages)
    assert finding.level == level
    assert "celery -A worker worker" in finding.remedy


def test_a_worker_is_described_with_its_models():
    models = (HeldModel(model="qwen3_4b", loading=False, since=1),) * 2
    models += (HeldModel(model="phi4", loading=True, since=2),)
    many = worker(queues=tuple(all_queues()), processes=3, device="cuda (3 x H100)", models=models)
    (first, second, *_) = check_workers([many, worker()], 0)
    assert first.text.endswith(
        "3 processes, device cuda (3 x H100), serves all queues, holds qwen3_4b, loads phi4"
    )
    assert second.text.endswith("device unknown, serves model.other, holds no model")


def test_a_worker_of_another_version_is_a_warning():
    (finding,) = check_versions([worker(), worker(name="celery@old", version="0.0.9")], "0.1.0")
    assert finding.level == "warning"
    assert "celery@old has version 0.0.9, this producer 0.1.0" in finding.text


def test_a_queue_that_nobody_serves_is_a_fault():
    lengths = {"model.other": 2, "model.qwen3_4b": 1_500}
    well, lost, at_work = check_queues(lengths, 4, [worker()])
    assert (well.level, lost.level, at_work.level) == ("ok", "fault", "ok")
    assert lost.text == "model.qwen3_4b holds 1,500 messages, and no live worker serves it"
    assert lost.remedy == "start `celery -A worker worker -Q model.qwen3_4b`"
    assert at_work.text == "at work: 4 messages"


def test_what_a_worker_says_of_itself_steers_no_terminal():
    assert "\x1b" not in Finding("workers", "ok", "celery@\x1b[2J").line()
