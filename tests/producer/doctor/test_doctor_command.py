"""`producer doctor`, on a real server: one line for each thing, and a status for scripts."""

import json

import pytest
import redis

from common.live_workers import Announcement, announce, note_model
from common.run_counters import RunCounters
from common.settings import Settings
from common.store import StoreFilesystem
from common.store.identity import store_id


@pytest.fixture
def counters(server):
    settings = Settings.from_environment()
    return RunCounters.connect(settings.broker, settings.namespace)


@pytest.fixture
def own_id():
    """The id of the store, which a producer has used."""
    return store_id(StoreFilesystem.open(Settings.from_environment().store))


def announced(counters, **changes):
    """Have a worker be alive."""
    fields = {
        "name": "celery@gpu-1", "place": "gpu-1:7", "processes": 1, "queues": ("model.other",),
        "version": "0.1.0", "store": "/data", "device": "cpu",
    }  # fmt: skip
    announce(counters, Announcement(**fields | changes))


def examined(command):
    done = command("doctor", "--json")
    assert done.err == ""
    return done.status, json.loads(done.out)


def texts(findings, level):
    return [finding["text"] for finding in findings if finding["level"] == level]


def test_a_system_that_works_has_no_fault(command, counters, own_id):
    announced(counters, store_id=own_id)
    note_model(counters, "gpu-1:7", 0, "smollm2_135m_it", loading=False)
    status, findings = examined(command)
    assert status == 0, findings
    assert texts(findings, "fault") == []
    assert any("serves model.other, holds smollm2_135m_it" in t for t in texts(findings, "ok"))
    lines = command("doctor").out.splitlines()
    assert len(lines) == len(findings)
    assert {line.split()[0] for line in lines} <= {"ok", "warning"}


def test_what_must_be_mended_is_a_fault_and_the_status_says_so(command, counters, own_id):
    announced(counters, store_id="f" * 32)
    counters.client.lpush("se:model.qwen3_4b", "{}")
    status, findings = examined(command)
    assert status == 1
    other, unserved = texts(findings, "fault")
    assert "celery@gpu-1 has another one" in other
    assert unserved == "model.qwen3_4b holds 1 message, and no live worker serves it"
    assert all(finding["remedy"] for finding in findings if finding["level"] != "ok")


def test_dead_letters_are_counted_and_the_newest_is_shown_without_its_control_characters(
    command, counters
):
    counters.client.lpush("se:dead", "old", b"\x1b[2Jnewest\xff\nmore")
    done = command("doctor")
    (line,) = [line for line in done.out.splitlines() if "dead letters" in line]
    assert line.startswith("warning")
    assert "2 dead letters, the newest begins '\\x1b[2Jnewest" in line
    assert "more" not in line.partition("begins")[2].partition(":")[0]
    assert "redis-cli LRANGE se:dead 0 -1" in line


def test_a_server_that_is_away_is_one_line_and_the_store_is_examined(
    command, monkeypatch, tmp_path
):
    monkeypatch.setenv("SELF_ENSEMBLE_STORE", str(tmp_path / "runs"))
    done = command("doctor", "--broker", "redis://:s3cret@127.0.0.1:1/0")
    assert done.status == 1
    first, *others = done.out.splitlines()
    assert first.startswith("fault    redis    redis://")
    assert "does not answer" in first
    assert "s3cret" not in done.out
    assert {line.split()[1] for line in others} == {"store"}


def test_a_server_that_denies_a_question_hides_no_other_finding(command, counters, monkeypatch):
    def denied(*_, **__):
        raise redis.ResponseError("NOPERM this user has no permissions to run 'info'")

    monkeypatch.setattr(redis.Redis, "info", denied)
    status, findings = examined(command)
    assert status == 1
    (fault,) = texts(findings, "fault")
    assert "cannot be examined (NOPERM" in fault
    assert {finding["subject"] for finding in findings} >= {"redis", "store", "workers", "queues"}


def test_it_gives_a_new_store_no_id_and_leaves_no_file(command, counters, tmp_path):
    examined(command)
    assert list((tmp_path / "runs").iterdir()) == []
