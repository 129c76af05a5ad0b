"""The `producer` command's help: quick, complete, with examples that could be typed."""

import re
import shlex
import subprocess
import sys
import time
from importlib.metadata import version

import click
import pytest

from producer.cli import cli

DATA = "dataset data few-shot num-few-shot model"
COUNTS = "num-paraphrases num-manual num-auto"
DRAWING = "temperature top-p"
PROMPT = "prompt thinking stop revision"
JOB = "max-samples shard-size dtype overwrite failure-limit store"
WAITING = "broker wait local"
OPTIONS = {
    "enqueue": f"{DATA} {PROMPT} paraphrases method {COUNTS} num-draws layout positions "
    f"max-new-tokens {JOB} {WAITING}",
    "run": f"{DATA} {PROMPT} paraphrases method {COUNTS} num-draws layout positions "
    f"max-new-tokens {JOB}",
    "paraphrase": f"dataset data model revision num-paraphrases {DRAWING} {JOB} {WAITING}",
    "confidence": f"{DATA} {PROMPT} paraphrases {COUNTS} num-draws {DRAWING} max-new-tokens "
    f"{JOB} {WAITING}",
    "runs": "store broker json",
    "status": "store broker watch json",
    "cancel": "store broker",
    "delete": "store broker yes force",
    "tail": "store broker lines json",
    "doctor": "store broker json",
    "merge": "store partial",
    "verify": "store",
    "retry": "all store broker",
    "reconcile": "store broker every",
    "score": "store json",
    "report": "store html json common metric seed",
    "mask": f"{DATA} uuid method {COUNTS} layout positions png json",
    "prompt": f"{DATA} uuid method {COUNTS} layout positions prompt thinking revision json",
}
COMMANDS = list(OPTIONS)


def options_of(name):
    return {o for p in cli.commands[name].params for o in p.opts if o.startswith("--")}


def test_the_commands_are_those_of_the_issue():
    assert sorted(cli.commands) == sorted(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_has_every_option_of_the_issue(name):
    assert {f"--{option}" for option in OPTIONS[name].split()} <= options_of(name)


def test_run_takes_what_enqueue_takes_but_where_to_send_it():
    """`enqueue --local` is `run`."""
    assert options_of("enqueue") - options_of("run") == {"--broker", "--wait", "--local"}
    assert options_of("run") <= options_of("enqueue")


def test_paraphrases_are_written_by_one_prompt_that_no_option_changes():
    assert options_of("paraphrase").isdisjoint({"--prompt", "--thinking", "--stop"})


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_every_command_has_a_worked_example(command, name, flag):
    result = command(name, flag)
    assert (result.status, result.err) == (0, "")
    assert "Example" in result.out
    assert f"producer {name} " in result.out


@pytest.mark.parametrize("name", COMMANDS)
def test_an_example_is_accepted_as_it_stands(name, tmp_path, monkeypatch):
    """Parsed by the command itself; files it names are made first."""
    monkeypatch.chdir(tmp_path)
    text = cli.commands[name].help.partition("Example:")[2].replace("\\\n", " ")
    program, typed, *arguments = shlex.split(text)
    for argument in arguments:
        if argument.endswith(".jsonl"):
            (tmp_path / argument).touch()
    assert (program, typed) == ("producer", name)
    with cli.commands[name].make_context(name, arguments):
        pass


def test_the_help_of_the_command_itself_shows_the_smallest_real_run(command):
    result = command("--help")
    assert result.status == 0
    assert "producer run --dataset webqa_mini --model smollm2_135m_it" in result.out
    assert all(re.search(rf"^  {name} ", result.out, re.MULTILINE) for name in COMMANDS)


def test_every_option_of_every_command_says_what_it_does():
    silent = [
        (name, option.name)
        for name, made in cli.commands.items()
        for option in made.params
        if isinstance(option, click.Option) and not option.help and option.name != "max_new_tokens"
    ]
    assert silent == []


def test_the_version_is_that_of_the_distribution(command):
    assert command("--version").out.endswith(f"version {version('self-ensemble')}\n")


def seconds(*arguments):
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    return time.perf_counter() - start


@pytest.mark.parametrize("arguments", [["--help"], ["enqueue", "--help"], ["runs", "--help"]])
def test_help_answers_in_under_half_a_second(arguments):
    """Or, on a machine that is busy, in five times what Python needs to import click."""
    click_alone = min(seconds("-c", "import click") for _ in range(3))
    helped = min(seconds("-m", "producer", *arguments) for _ in range(3))
    assert helped < max(0.5, 5 * click_alone)
