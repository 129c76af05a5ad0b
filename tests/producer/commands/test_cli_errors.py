"""Errors of the `producer` command: one sentence on stderr, status 2, never a traceback."""

import pytest

from common.store import StoreFilesystem, list_parts, merge_run
from tests.common.storekit import all_files, make_run, put_part

RUN = "quiz/owner--model/origin"
BAD_RUNS = ["webqa", "../a/b", "/a/b/c", "a/../c", "a/b/c/d", "a b/c/d", "a//c", ""]


@pytest.fixture
def here(tmp_path, monkeypatch, broker_url):
    """A directory with a store `datasets` and a broker, both taken from settings."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SELF_ENSEMBLE_BROKER", f"{broker_url.removesuffix('/0')}/9")
    return StoreFilesystem.open("./datasets")


def assert_one_sentence(result, *words):
    assert result.out == ""
    assert result.err.startswith("error: ")
    assert result.err.count("\n") == 1
    assert "Traceback" not in result.err
    for word in words:
        assert word in result.err
    assert result.status == 2


@pytest.mark.parametrize("name", ["status", "merge", "verify"])
@pytest.mark.parametrize("run", BAD_RUNS)
def test_a_bad_run_is_refused_with_the_form_it_should_have(command, here, name, run):
    assert_one_sentence(command(name, run))


@pytest.mark.parametrize("name", ["status", "merge", "verify"])
def test_an_unknown_run_is_refused_and_the_store_is_named(command, here, name):
    assert_one_sentence(command(name, "webqa/m/avg-5"), "webqa/m/avg-5", "./datasets", "runs")


@pytest.mark.parametrize(
    "arguments", [["runs"], ["status", RUN], ["enqueue", "--dataset", "webqa_mini"]]
)
def test_a_bad_setting_is_named(command, here, monkeypatch, arguments):
    monkeypatch.setenv("SELF_ENSEMBLE_PROCESSES", "many")
    assert_one_sentence(command(*arguments), "SELF_ENSEMBLE_PROCESSES='many'")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model", "no such model"], ["no such model", "registered are", "qwen3_4b"]),
        (["--model", "~no-such-user/model"], ["~no-such-user/model"]),
        (["--dataset", "unknown"], ["'unknown'", "webqa_mini", "--data"]),
        (["--num-paraphrases", "7"], ["row 1", "7 paraphrases", "has 6 in all"]),
        (["--store", "nonsense://x"], ["nonsense://x"]),
        (["--store", "~no-such-user/x"], ["~no-such-user/x"]),
        (["--store", "/dev/null/x"], ["/dev/null/x cannot be written", "--store"]),
        (["--broker", "redis://:s3cret@127.0.0.1:1/0"], ["redis://127.0.0.1:1/0", "--broker"]),
        (["--broker", "redis://127.0.0.1:x/0"], ["--broker"]),
    ],
)
def test_what_cannot_be_enqueued_is_refused_and_nothing_is_written(
    command, here, arguments, words
):
    result = command("enqueue", "--dataset", "webqa_mini", *arguments)
    assert_one_sentence(result, *words)
    assert "s3cret" not in result.err
    assert all_files(here) == []


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--dataset", "x", "--method", "vote"],
        ["--dataset", "x", "--num-paraphrases", "0"],
        ["--dataset", "x", "--data", "nowhere.jsonl"],
        ["--dataset", "x", "--layout", "ring"],
        ["--dataset", "x", "--shard-size", "many"],
        ["--dataset", "x", "--frobnicate"],
    ],
)
@pytest.mark.parametrize("name", ["enqueue", "run"])
def test_options_that_click_refuses_end_with_status_2_as_well(command, here, name, arguments):
    result = command(name, *arguments)
    assert result.status == 2
    assert f"producer {name} --help" in result.err
    assert "Error: " in result.err
    assert all_files(here) == []


def test_a_run_with_missing_rows_is_not_merged(command, here):
    put_part(make_run(here, 7), [0, 1])
    assert_one_sentence(command("merge", RUN), "2 of 7 rows", "--partial")


def test_a_run_that_is_not_merged_cannot_be_verified(command, here):
    make_run(here, 7)
    assert_one_sentence(command("verify", RUN), f"producer merge {RUN}")


def test_a_truncated_part_is_named(command, here):
    run = make_run(here, 7)
    path = put_part(run, range(7))
    here.write_bytes(path, here.read_bytes(path)[:-99])
    assert_one_sentence(command("merge", RUN), path, "delete it")


def test_a_truncated_result_is_named(command, here):
    run = make_run(here, 7)
    put_part(run, range(7))
    merge_run(run)
    here.write_bytes(run.feather, here.read_bytes(run.feather)[:-99])
    assert_one_sentence(command("verify", RUN), "origin.feather")


def test_lost_samples_are_named(command, here):
    run = make_run(here, 7)
    put_part(run, range(7))
    here.delete(run.file("input.arrow"))
    assert_one_sentence(command("merge", RUN), "input.arrow")
    assert len(list_parts(run)) == 1


def test_an_interrupt_says_that_nothing_is_lost(command, here, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("producer.commands.manage.settings_from", interrupt)
    result = command("runs")
    assert (result.status, result.out) == (130, "")
    assert "goes on from there" in result.err
