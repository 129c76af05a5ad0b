"""A character that the output cannot encode is printed as `?`: no command ends because of it."""

import io
import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest

from common.run import RunKey
from common.store import RunFolder, StoreFilesystem, merge_run
from common.store.parts import write_part
from producer.cli import cli
from tests.common.storekit import make_answer, make_info

MODEL = "quiz/owner--model"
OPTIONS = ["--dataset", "quiz", "--num-few-shot", "0", "--model", "owner/model"]
METHODS = ["--num-paraphrases", "3", "--method", "origin", "--method", "avg"]
RUNS = [f"{MODEL}/origin", f"{MODEL}/avg-3"]


@pytest.fixture
def questions(jsonl):
    """Seven questions and a column name in characters outside ASCII and Latin-1."""
    rows = [
        {
            "question": f"où est {n} 東京 → ?",
            "paraphrases": [f"№ {n} où?", f"😀 {n}?"],
            "answers": ["là"],
            "gold_réponses": "là",
        }
        for n in range(7)
    ]
    return jsonl(rows, "où.jsonl")


@pytest.fixture
def folder(tmp_path, monkeypatch, server):
    """A store whose path has characters outside ASCII."""
    monkeypatch.setenv("SELF_ENSEMBLE_STORE", str(tmp_path / "où → 東京"))
    return StoreFilesystem.open(str(tmp_path / "où → 東京"))


@pytest.fixture
def answered(folder, questions, command):
    """Two merged and scored runs on these questions, every row answered."""
    assert command("enqueue", *OPTIONS, *METHODS, "--data", questions).status == 0
    for name in RUNS:
        run = RunFolder(folder, RunKey.parse(name))
        answers = [replace(make_answer(run, n), prediction=f"là {n} → 東京") for n in range(7)]
        write_part(run, make_info(run, range(7), reasons={"device": "où?"}), answers)
        merge_run(run)
    assert command("score", *RUNS).status == 0


COMMANDS = [
    ("enqueue", *OPTIONS, *METHODS, "--data"),
    ("enqueue", *OPTIONS, *METHODS, "--wait", "--data"),
    ("run", *OPTIONS, *METHODS, "--data"),
    ("paraphrase", "--dataset", "quiz", "--model", "owner/model", "--data"),
    ("confidence", *OPTIONS, "--num-paraphrases", "3", "--data"),
    ("runs",),
    ("runs", "--json"),
    ("status", RUNS[0]),
    ("status", RUNS[0], "--watch"),
    ("status", RUNS[0], "--json"),
    ("tail", RUNS[0]),
    ("tail", RUNS[0], "--json"),
    ("doctor",),
    ("doctor", "--json"),
    ("reconcile",),
    ("retry", RUNS[0]),
    ("cancel", RUNS[0]),
    ("delete", RUNS[0], "--yes"),
    ("merge", RUNS[0]),
    ("verify", RUNS[0]),
    ("score", *RUNS),
    ("score", *RUNS, "--json"),
    ("report", *RUNS),
    ("report", *RUNS, "--json"),
    ("report", *RUNS, "--html", "é.html"),
    ("prompt", "--dataset", "quiz", "--num-paraphrases", "3", "--model"),
    ("mask", "--dataset", "quiz", "--num-paraphrases", "3", "--model"),
    ("mask", "--json", "--dataset", "quiz", "--num-paraphrases", "3", "--model"),
    ("mask", "--png", "é.png", "--dataset", "quiz", "--num-paraphrases", "3", "--model"),
]


STATUS = {"doctor": 1, "cancel": 2}
"""No worker lives here, which the doctor finds; and what is merged is no longer cancelled."""


def completed(arguments, questions, tiny_model):
    """The arguments with the files that they end in."""
    if arguments[-1] == "--model":
        return [*arguments, tiny_model, "--data", questions]
    return [*arguments, questions] if arguments[-1] == "--data" else arguments


def test_every_command_is_among_them():
    assert {arguments[0] for arguments in COMMANDS} == set(cli.commands)


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_command_prints_what_its_output_can_encode(
    command, answered, questions, tiny_model, monkeypatch, tmp_path, arguments, encoding
):
    """The streams are as PYTHONIOENCODING=ascii makes them, stdout strict and stderr not."""
    screen = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict")
    errors = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="backslashreplace")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setattr(sys, "stderr", errors)
    result = command(*completed(arguments, questions, tiny_model))
    for stream in (screen, errors):
        stream.flush()
    shown = screen.buffer.getvalue().decode(encoding)
    said = errors.buffer.getvalue().decode(encoding)
    assert result.status == STATUS.get(arguments[0], 0)
    assert (said == "", shown == "") == ((False, True) if result.status == 2 else (True, False))
    if "--json" in arguments:
        for line in shown.splitlines() if arguments[0] == "tail" else [shown]:
            json.loads(line)


@pytest.mark.parametrize(
    "arguments", [("run", *OPTIONS, *METHODS, "--data"), ("report", *RUNS, "--json"), ("runs",)]
)
def test_a_process_with_python_io_encoding_ascii_ends_well(
    answered, questions, tiny_model, folder, arguments
):
    result = subprocess.run(
        [sys.executable, "-m", "producer", *map(str, completed(arguments, questions, tiny_model))],
        env={**os.environ, "PYTHONIOENCODING": "ascii", "COLUMNS": "200"},
        capture_output=True,
    )
    assert (result.returncode, result.stderr) == (0, b"")
    assert result.stdout.isascii()
    if arguments[0] == "run":
        last = result.stdout.decode().splitlines()[-2:]
        paths = [RunFolder(folder, RunKey.parse(name)).feather_path for name in RUNS]
        assert last == [path.encode("ascii", "replace").decode() for path in paths]
        assert b"'gold_r?ponses'" in result.stdout


def test_a_document_is_the_same_whatever_the_terminal_shows(command, answered, monkeypatch):
    plain = command("report", *RUNS, "--json").out
    assert plain.isascii()
    assert "là 0 → 東京" in json.dumps(json.loads(plain), ensure_ascii=False)


def test_an_error_is_a_sentence_in_any_encoding(command, monkeypatch):
    errors = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="backslashreplace")
    monkeypatch.setattr(sys, "stderr", errors)
    assert command("enqueue", "--dataset", "où").status == 2
    assert errors.buffer.getvalue().startswith(b"error: --dataset 'o\\xf9' is not known")
    assert command("enqueue", "--où").status == 2
    assert errors.buffer.getvalue().isascii()
