"""producer.tail: the rows of a run as its parts come, each once, until the run is over."""

import json
import os

import pytest

from common.errors import CancelledRun, OverwrittenRun, StopRun
from common.run_activity import RunActivity, Stop
from common.run_counters import RunCounters
from common.run_state import RunState, ended_state
from common.settings import Settings
from common.store import StoreFilesystem, list_parts, merge_run
from common.store.cancellation import cancel
from producer.tail import describe_row, follow_rows
from tests.common.storekit import make_run, memory_store, put_part

RUN = "quiz/owner--model/origin"


@pytest.fixture
def run(store):
    return make_run(store, 7)


def aged(run, path, seconds):
    """Have a part be written `seconds` after 1970."""
    os.utime(run.store.path(path), (seconds, seconds))


def nobody():
    return None


class Following:
    """Follows a run; at each wait the next of `events` happens."""

    def __init__(self, run, events, lines=10):
        self._run, self._events, self.waits = run, iter(events), 0
        self.rows = [row["row"] for row in follow_rows(run, lines, nobody, self._wait)]

    def _wait(self):
        self.waits += 1
        next(self._events)()


def finished(run):
    """Write what is missing, and merge, as the last worker does."""
    put_part(run, [5, 6])
    merge_run(run)


def test_it_begins_with_the_newest_rows_and_goes_on_until_the_run_is_merged(run):
    aged(run, put_part(run, [3, 4]), 100)
    aged(run, put_part(run, [0, 1]), 200)
    events = [lambda: put_part(run, [2]), lambda: None, lambda: finished(run)]
    following = Following(run, events, lines=3)
    assert following.rows == [4, 0, 1, 2, 5, 6]
    assert following.waits == 3


@pytest.mark.parametrize(("lines", "before"), [(0, []), (1, [1]), (9, [3, 4, 0, 1])])
def test_as_many_rows_of_before_are_shown_as_were_asked_for(run, lines, before):
    aged(run, put_part(run, [3, 4]), 100)
    aged(run, put_part(run, [0, 1]), 200)

    def end():
        put_part(run, [2])
        finished(run)

    assert Following(run, [end], lines).rows == [*before, 2, 5, 6]


def test_old_parts_are_not_read_for_a_few_rows(run, monkeypatch):
    aged(run, put_part(run, [3, 4]), 100)
    aged(run, put_part(run, [0, 1]), 200)
    read = []
    whole = StoreFilesystem.read_bytes

    def reads(self, path):
        read.append(path)
        return whole(self, path)

    monkeypatch.setattr(StoreFilesystem, "read_bytes", reads)
    rows = follow_rows(run, 2, nobody)
    assert [next(rows)["row"], next(rows)["row"]] == [0, 1]
    assert len([path for path in read if "/parts/" in path]) == 1


def test_a_row_that_is_in_two_parts_is_shown_once(run):
    put_part(run, [0, 1])

    def again():
        put_part(run, [1, 2, 3])
        put_part(run, [4])

    assert Following(run, [again, lambda: finished(run)]).rows == [0, 1, 2, 3, 4, 5, 6]


def test_a_damaged_part_hides_no_other(run, caplog):
    path = put_part(run, [0, 1])
    whole = run.store.read_bytes(path)

    def damaged():
        other = put_part(run, [2, 3])
        run.store.write_bytes(other, run.store.read_bytes(other)[:99])
        put_part(run, [4])

    rows = follow_rows(run, 0, nobody, damaged)
    assert next(rows)["row"] == 4
    assert "is not a whole part" in caplog.text
    assert run.store.read_bytes(path) == whole


def test_of_a_merged_run_the_last_rows_are_shown(run):
    put_part(run, range(7))
    merge_run(run)
    for lines in (0, 1, 3, 99):
        rows = list(follow_rows(run, lines, nobody))
        assert [row["uuid"] for row in rows] == [f"id{n}" for n in range(7)][7 - min(lines, 7) :]


def test_a_partial_file_does_not_end_it(run):
    put_part(run, [0, 1])
    merge_run(run, partial=True)
    assert Following(run, [lambda: put_part(run, [2, 3, 4]), lambda: finished(run)]).rows == [
        *range(7)
    ]


def test_what_came_before_a_stop_is_shown_and_then_the_reason(run):
    put_part(run, [0])
    stopped = RunActivity(Stop(reason="no memory", since=0.0, worker="gpu1"))
    rows = follow_rows(run, 5, lambda: RunState(RUN, "stopped", activity=stopped))
    assert next(rows)["row"] == 0
    with pytest.raises(StopRun, match=f"{RUN} was stopped by worker gpu1: no memory"):
        next(rows)


def test_what_came_before_a_cancellation_is_shown_and_then_that_it_is_cancelled(run):
    put_part(run, [0])

    def cancelled():
        put_part(run, [1, 2])
        cancel(run)

    rows = follow_rows(run, 5, lambda: ended_state(run, None), cancelled)
    assert [next(rows)["row"] for _ in range(3)] == [0, 1, 2]
    with pytest.raises(CancelledRun, match=f"{RUN} was cancelled at .*; `producer enqueue` again"):
        next(rows)


def test_a_run_that_is_overwritten_or_deleted_is_not_followed(run):
    with pytest.raises(OverwrittenRun):
        list(follow_rows(run, 5, nobody, lambda: (run.delete(), make_run(run.store, 7))))
    again = type(run)(run.store, run.key)
    with pytest.raises(FileNotFoundError):
        list(follow_rows(again, 5, nobody, again.delete))


@pytest.mark.parametrize(
    ("row", "line"),
    [
        ({"uuid": "q", "prediction": "a\x1b]0;title\x07\nb"}, r"q  a\x1b]0;title\x07\nb"),
        ({"uuid": "q\r", "error": "E: \u202eabc"}, r"q\r  error: E: \u202eabc"),
        ({"uuid": "q", "paraphrase": "so?", "prediction": "a"}, "q  so?  a"),
        ({"uuid": "q", "prediction": None, "paraphrases": ["a?", "b?"]}, "q  a? | b?"),
        ({"uuid": "q", "prediction": "Zürich 東京"}, "q  Zürich 東京"),
    ],
)
def test_a_line_steers_no_terminal(row, line):
    assert describe_row({"error": None, **row}) == line


@pytest.fixture
def merged(tmp_path, monkeypatch):
    monkeypatch.setenv("SELF_ENSEMBLE_STORE", str(tmp_path / "runs"))
    run = make_run(StoreFilesystem.open(str(tmp_path / "runs")), 7)
    put_part(run, range(7), failed=[6])
    merge_run(run)
    return run


def test_the_command_prints_lines(command, merged):
    done = command("tail", RUN, "--lines", 2)
    assert (done.status, done.err) == (0, "")
    assert done.out == "id5  answer 5.0\nid6  error: it broke\n"


def test_the_command_prints_a_document_for_each_row(command, merged):
    done = command("tail", RUN, "--lines", 2, "--json")
    first, second = map(json.loads, done.out.splitlines())
    assert (first["prediction"], second["error"]) == ("answer 5.0", "it broke")


def test_the_command_ends_with_the_reason_for_a_stop(command, server, monkeypatch):
    settings = Settings.from_environment()
    run = make_run(StoreFilesystem.open(settings.store), 7)
    put_part(run, [0])
    RunCounters.connect(settings.broker, settings.namespace).stop(RUN, "no memory", "gpu1")
    done = command("tail", RUN)
    assert (done.status, done.out) == (2, "id0  answer 0.0\n")
    assert done.err.startswith(f"error: {RUN} was stopped at ")
    assert "by worker gpu1: no memory; once that is mended" in done.err


@pytest.mark.timeout(60)
def test_the_command_ends_when_the_run_is_cancelled(command, monkeypatch, tmp_path):
    monkeypatch.setenv("SELF_ENSEMBLE_STORE", str(tmp_path / "runs"))
    run = make_run(StoreFilesystem.open(str(tmp_path / "runs")), 7)
    put_part(run, [0])
    monkeypatch.setattr("time.sleep", lambda _: cancel(run))
    done = command("tail", RUN, "--broker", "redis://127.0.0.1:1/0")
    assert (done.status, done.out) == (2, "id0  answer 0.0\n")
    assert done.err.startswith(f"error: {RUN} was cancelled at ")


def test_the_command_follows_a_run_though_the_broker_is_away(command, monkeypatch, tmp_path):
    monkeypatch.setenv("SELF_ENSEMBLE_STORE", str(tmp_path / "runs"))
    run = make_run(StoreFilesystem.open(str(tmp_path / "runs")), 7)
    put_part(run, range(7))
    monkeypatch.setattr("time.sleep", lambda _: merge_run(run))
    done = command("tail", RUN, "--broker", "redis://127.0.0.1:1/0", "--lines", 1)
    assert (done.status, done.out) == (0, "id6  answer 6.0\n")
    assert len(list_parts(run)) == 1


def test_ctrl_c_ends_it_without_a_word(command, server, monkeypatch):
    put_part(make_run(StoreFilesystem.open(Settings.from_environment().store), 7), [0])

    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", interrupted)
    done = command("tail", RUN)
    assert (done.status, done.out, done.err) == (130, "id0  answer 0.0\n", "")


def test_rows_on_an_object_store_are_followed_too():
    run = make_run(memory_store(), 7)
    put_part(run, [0, 1])
    rows = follow_rows(run, 5, nobody, lambda: finished(run) if put_part(run, [2, 3, 4]) else None)
    assert sorted(row["row"] for row in rows) == [*range(7)]
