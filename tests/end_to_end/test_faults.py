"""Faults: workers killed, bad messages, interrupted commands. Rows are never lost."""

import json
import os
import signal
import subprocess
from pathlib import Path

import psutil
import pyarrow.feather as feather
import pytest
import redis

from common.run import RunKey
from common.run_counters import RunCounters
from common.settings import Settings
from common.store import RunFolder, StoreFilesystem, list_parts
from common.store.identity import store_id
from tests.conftest import assert_rows_alike, numbered_questions, write_questions
from tests.end_to_end.conftest import PRODUCER, producer, running_worker, until
from worker.app import create_app


@pytest.fixture
def options(tmp_path: Path, tiny_model: Path) -> list[object]:
    data = write_questions(tmp_path / "numbers.jsonl", numbered_questions(60))
    return [
        "--dataset", "numbers", "--data", data, "--model", tiny_model, "--method", "avg",
        "--method", "flex_attention", "--num-paraphrases", 3, "--shard-size", 2,
        "--max-new-tokens", 30, "--dtype", "float32", "--num-few-shot", 0,
    ]  # fmt: skip


def runs(settings: Settings) -> list[RunFolder]:
    store = StoreFilesystem.open(settings.store)
    return [
        RunFolder(store, RunKey("numbers", "tiny-llama", f"{m}-3"))
        for m in ("avg", "flex_attention")
    ]


def tables(settings: Settings) -> list[object]:
    return [
        feather.read_table(run.feather_path).replace_schema_metadata() for run in runs(settings)
    ]


def merged(settings: Settings) -> bool:
    return all(run.store.exists(run.feather) for run in runs(settings))


def undisturbed(settings: Settings, options: list[object], tmp_path: Path) -> list[object]:
    """The tables of the same job on a store of its own, in this process."""
    from tests.worker.conftest import merging_here, shard_of
    from worker.executor import ShardExecutor
    from worker.merging import Merger

    other = settings.model_copy(update={"store": str(tmp_path / "other"), "attention": "sdpa"})
    producer("enqueue", *options, settings=other)
    store = StoreFilesystem.open(other.store)
    counters = RunCounters.connect(other.broker, other.namespace)
    merger = Merger(store, counters, lambda *_: pytest.fail("sent"))
    executor = ShardExecutor(other, store, counters, merging_here(merger))
    for first in range(0, 60, 2):
        executor.execute(shard_of(tuple(runs(other)), [first, first + 1]))
    redis.Redis.from_url(other.broker).flushall()
    return tables(other)


@pytest.mark.parametrize("victim", ["child", "worker"])
def test_a_killed_worker_costs_time_but_no_row(settings, options, tmp_path, victim):
    settings = settings.model_copy(update={"attention": "sdpa"})
    expected = undisturbed(settings, options, tmp_path)
    producer("enqueue", *options, settings=settings)
    with running_worker(settings, tmp_path / "first.log") as first:
        until(lambda: len(list_parts(runs(settings)[0])) >= 3, "the third part", first.log)
        if victim == "child":
            first.model_process().kill()
            until(lambda: merged(settings), "the merge", first.log)
        else:
            os.killpg(first.process.pid, signal.SIGKILL)
            assert not merged(settings)
    if victim == "worker":
        with running_worker(settings, tmp_path / "second.log") as second:
            until(lambda: merged(settings), "the merge", second.log)
    for table, wanted in zip(tables(settings), expected, strict=True):
        assert_rows_alike(table, wanted)


def test_bad_messages_are_dropped_and_the_worker_lives_on(settings, options, tmp_path):
    app = create_app(settings)
    arguments = [
        {"runs": ["../../etc/passwd"], "rows": [[0, 1]]},
        {"runs": ["numbers/tiny-llama/avg-3"], "rows": "all"},
        {"runs": ["numbers/tiny-llama/nothing-3"], "rows": [[0, 1]]},
    ]
    for kwargs in arguments:
        app.send_task("self_ensemble.answer_shard", kwargs=kwargs, queue="model.other")
    app.send_task("os.system", args=["true"], queue="model.other")
    app.send_task(
        "self_ensemble.answer_shard", kwargs=arguments[0], queue="model.other", serializer="pickle"
    )
    producer("enqueue", *options, "--max-samples", 4, settings=settings)
    counters = RunCounters.connect(settings.broker, settings.namespace)
    # A run of this very store that is missing was deleted: it is stopped, not given back.
    counters.note_store(
        "numbers/tiny-llama/nothing-3", store_id(StoreFilesystem.open(settings.store))
    )
    with running_worker(settings, tmp_path / "worker.log") as worker:
        until(lambda: merged(settings), "the merge", worker.log)
        output = worker.log.read_text()
    assert "message refused" in output
    assert "content-type" in output
    assert "Traceback" not in output
    assert counters.stop_reason("numbers/tiny-llama/nothing-3")
    assert counters.stop_reason("../../etc/passwd") is None


def test_a_run_that_cannot_go_on_says_why_and_exits_non_zero(settings, options, tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    (gone / "config.json").write_text(json.dumps({"model_type": "llama"}))
    arguments = [*options, "--model", gone, "--max-samples", 4, "--store", settings.store]
    output = producer("run", *arguments, settings=settings, check=False)
    assert "gone" in output
    assert "error: " in output
    assert "Traceback" not in output


def test_a_worker_that_cannot_begin_ends_the_local_run_with_the_reason(
    settings, options, tmp_path, monkeypatch
):
    broken = tmp_path / "broken" / "torch"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise ImportError('libcudart is not here')")
    paths = [str(broken.parent), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    output = producer(
        "run", *options, "--max-samples", 4, "--store", settings.store,
        settings=settings, check=False,
    )  # fmt: skip
    assert "gave a shard back: a worker process cannot begin: ImportError: libcudart" in output
    assert "error: the worker ended early" in output


def accept_interrupts() -> None:
    """Accept SIGINT, which a process started in the background of a script ignores."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_local_run_leaves_no_process_and_goes_on_later(
    settings, options, tmp_path, sign
):
    environment = {**os.environ, **settings.to_environment()}
    with (tmp_path / "output").open("wb") as output:
        command = [*PRODUCER, "run", *map(str, options)]
        started = subprocess.Popen(
            command, env=environment, stdout=output, stderr=output, preexec_fn=accept_interrupts
        )
    run = runs(settings)[0]
    until(lambda: run.exists() and list_parts(run), "the first part", tmp_path / "output")
    family = psutil.Process(started.pid).children(recursive=True)
    assert len(family) >= 3
    started.send_signal(sign)
    assert started.wait(60) == {signal.SIGINT: 130, signal.SIGTERM: 130}.get(sign, -sign)
    until(lambda: not any(process.is_running() for process in family), "the end of all processes")
    assert list_parts(run)
    if sign == signal.SIGINT:
        assert "what is done is kept" in (tmp_path / "output").read_text()
        producer("run", *options, settings=settings)
        assert merged(settings)


def test_flower_shows_the_worker_and_its_tasks(settings, options, tmp_path):
    import sys
    import urllib.request

    from producer.local import _free_port, child

    port = _free_port()
    environment = {
        **os.environ, **settings.to_environment(), "FLOWER_UNAUTHENTICATED_API": "true",
    }  # fmt: skip
    command = [sys.executable, "-m", "celery", "-A", "worker", "flower"]

    def tasks() -> dict[str, object]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/tasks", timeout=5) as answer:
                document: dict[str, object] = json.load(answer)
                return document
        except OSError:
            return {}

    log = tmp_path / "flower.log"
    with child([*command, f"--port={port}"], log, environment):
        until(lambda: "Connected to" in log.read_text(), "flower's connection", log)
        with running_worker(settings, tmp_path / "worker.log") as worker:
            producer("enqueue", *options, "--max-samples", 3, settings=settings)
            until(lambda: merged(settings), "the merge", worker.log)
            until(lambda: any(t["state"] == "SUCCESS" for t in tasks().values()), "a task", log)
