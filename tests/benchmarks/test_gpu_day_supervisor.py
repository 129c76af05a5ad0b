"""The supervisor of a GPU day: what a stage does to itself costs no other stage, and no line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.gpu_day import __main__ as command
from benchmarks.gpu_day.lines import LineWriter, read_lines
from benchmarks.gpu_day.plan import STAGES, Stage
from benchmarks.gpu_day.stages.registry import STAGES as REGISTERED
from benchmarks.gpu_day.supervisor import NoDevice, Supervisor, join_logs

ROOT = Path(__file__).parents[2]


@pytest.fixture
def run_stages(tmp_path):
    """Runs faulty stages; returns the lines that were written."""

    def run(*stages, seconds=60):
        lines = []
        supervisor = Supervisor(
            lines.append, tmp_path, tmp_path, "cpu", True, module="tests.benchmarks.faulty_stages"
        )
        try:
            supervisor.run([Stage(name, limit, 1, "") for name, limit in stages], seconds)
        finally:
            join_logs(tmp_path)
        return lines

    return run


def is_running(pid):
    """A killed process whose parent is gone may stay a zombie for a moment."""
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


def test_a_stage_that_hangs_is_killed_with_all_it_started_and_the_next_one_follows(run_stages):
    lines = run_stages(("hangs", 2), ("good", 9))
    assert lines[1]["figures"] == {"ms": 7.0}
    (child,) = (line for line in lines if line.get("row") == "child")
    assert not is_running(child["figures"]["pid"])
    (ended,) = (line for line in lines if line.get("event") == "killed")
    assert (ended["stage"], ended["row"], ended["reason"]) == (
        "hangs", "third", "killed after 2 s",
    )  # fmt: skip
    assert lines[-1]["stage"] == "good"
    assert lines[-1]["event"] == "done"


def test_a_stage_that_dies_leaves_its_signal_its_row_and_its_last_words(run_stages, tmp_path):
    ended = run_stages(("aborts", 9))[-1]
    assert (ended["event"], ended["row"], ended["reason"]) == ("died", "second", "signal SIGABRT")
    assert "last words" in ended["last words"]
    assert "last words" in (tmp_path / "logs.txt").read_text()


TERMINATED = """
import functools, sys
from benchmarks.gpu_day import __main__ as command
from benchmarks.gpu_day.plan import Stage
from benchmarks.gpu_day.supervisor import Supervisor

faulty = functools.partial(Supervisor, module="tests.benchmarks.faulty_stages")
command.Supervisor = faulty
command.measure(command.Path(sys.argv[1]), "cpu", True, [Stage("hangs", 600, 1, "")], 600, 1)
"""


def test_a_supervisor_that_is_terminated_takes_its_stage_with_it_and_keeps_the_lines(tmp_path):
    command = [sys.executable, "-u", "-c", TERMINATED, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        while "child" not in process.stdout.readline():
            assert process.poll() is None
        process.terminate()
    lines = read_lines(tmp_path / "gpu_day.jsonl")
    (child,) = (line for line in lines if line.get("row") == "child")
    assert not is_running(child["figures"]["pid"])
    assert (tmp_path / "logs.txt").exists()


def test_lines_come_through_their_own_pipe_and_not_from_what_a_library_prints(run_stages):
    rows = [line.get("row") for line in run_stages(("good", 9))]
    assert rows == ["first", "first", "second", None]


def test_a_device_that_is_not_there_ends_all_stages(run_stages):
    with pytest.raises(NoDevice, match="torch sees no GPU here"):
        run_stages(("no_device", 9), ("good", 9))


def test_a_stage_for_which_no_time_is_left_is_a_line(run_stages):
    (line,) = run_stages(("good", 9), seconds=3)
    assert line == {"stage": "good", "event": "not run", "reason": "3 of 3 s are left"}


def test_lines_are_in_the_file_as_soon_as_they_are_written(tmp_path):
    writer = LineWriter(tmp_path / "lines")
    writer.write({"stage": "probe", "row": "copy"})
    (line,) = read_lines(tmp_path / "lines")
    assert (line["stage"], line["row"], line["t"]) == ("probe", "copy", 0.0)


def test_a_line_that_was_cut_off_is_left_out_and_one_in_the_middle_is_refused(tmp_path):
    file = tmp_path / "lines"
    file.write_text('{"stage": "probe"}\n{"stage": "pro')
    assert read_lines(file) == [{"stage": "probe"}]
    file.write_text('{"stage": "pro\n{"stage": "probe"}\n')
    with pytest.raises(ValueError, match=r"line 1 of .* is no JSON"):
        read_lines(file)
    file.write_text('{"rows": []}\n')
    with pytest.raises(ValueError, match="does not hold lines of a GPU day"):
        read_lines(file)


def test_the_supervisor_imports_neither_torch_nor_the_project():
    code = "import sys, benchmarks.gpu_day.__main__; print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    loaded = {name.partition(".")[0] for name in result.stdout.split()}
    assert "benchmarks" in loaded
    assert not loaded & {"torch", "transformers", "numpy", "pydantic", "common", "producer"}


def test_every_planned_stage_is_registered_in_the_same_order():
    assert [stage.name for stage in STAGES] == list(REGISTERED)
    assert all(stage.expected < stage.limit for stage in STAGES)


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        ((), 2, "give --out DIR to measure, or --table FILE to read"),
        (("--out", "o", "--only", "probe,prob"), 2, "'prob' is no stage; stages are probe,"),
        (("--out", "o", "--device", "cpu"), 2, "add --tiny"),
        (("--out", "o", "--only", "probe", "--device", "toaster"), 1, "--device toaster is no"),
        (("--out", "o", "--only", "probe", "--device", "cuda:7"), 1, "--device cuda:7: torch"),
        (("--table", "notes"), 2, "line 1 of notes is no JSON"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_a_sentence(
    arguments, status, sentence, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    Path("notes").write_text("questions/s\n1\n")
    result = CliRunner().invoke(command.main, arguments)
    assert result.exit_code == status, result.output
    assert sentence in result.stderr.splitlines()[-1]


@pytest.mark.timeout(180)
def test_a_rehearsal_without_celery_redis_gguf_and_datasets_gives_every_row(tmp_path):
    """The lent machine has none of them; no broker is there, and no network."""
    (tmp_path / "sitecustomize.py").write_text(ABSENT)
    only = ["probe", "check_eager", "eager", "graphs", "shards"]
    out = tmp_path / "out"
    result = subprocess.run(
        [
            sys.executable, "-m", "benchmarks.gpu_day", "--out", str(out), "--device", "cpu",
            "--tiny", "--only", ",".join(only), "--stretch", "3", "--total", "170",
        ],
        cwd=ROOT, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.splitlines()[-1] == "every check is equal and every row has its figures"
    assert sorted(file.name for file in out.iterdir()) == ["gpu_day.jsonl", "logs.txt"]
    lines = read_lines(out / "gpu_day.jsonl")
    assert [line["stage"] for line in lines if line.get("event") == "done"] == only
    rows = {(line["stage"], line["row"]): line for line in lines if "figures" in line}
    predicted = {
        (stage.name, row)
        for stage in STAGES
        if stage.name in only
        for row in stage.predictions
        # Of other sizes, or compiled: a rehearsal has neither.
        if not row.startswith(("calls of ", "step, compiled"))
    }
    assert predicted <= rows.keys()
    checks = [line["figures"] for (stage, _), line in rows.items() if stage == "check_eager"]
    assert sum("equal" in figures for figures in checks) == 6
    assert all(0 <= figures.get("logit difference", 0) < 1e-3 for figures in checks)
    shown = CliRunner().invoke(command.main, ["--table", str(out / "gpu_day.jsonl")])
    assert shown.exit_code == 0
    assert shown.stdout.splitlines()[-1] == result.stdout.splitlines()[-1]


ABSENT = f"""
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {json.dumps(["celery", "redis", "gguf", "datasets"])}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
"""
