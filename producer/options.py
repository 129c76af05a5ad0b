"""Options that commands share, or that are many."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from common.messages import MAX_ROWS
from common.methods import METHODS
from common.models import DEFAULT_MODEL

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)

_REQUEST = [
    click.option(
        "--dataset",
        required=True,
        help="Data set: webqa, webqa_mini, or a name of your own with --data.",
    ),
    click.option(
        "--data", type=_FILE, help="JSONL, Parquet or Feather file with question and answers."
    ),
    click.option(
        "--few-shot", type=_FILE, help="File of few-shot examples: its rows in their order."
    ),
    click.option(
        "--num-few-shot",
        type=click.IntRange(0, 64),
        help="Examples; 0 for none.  [default: 5, or all of --few-shot]",
    ),
    click.option(
        "--model",
        default=DEFAULT_MODEL,
        show_default=True,
        help="Short name, hub id or local directory.",
    ),
    click.option(
        "--method",
        "methods",
        multiple=True,
        default=("flex_attention",),
        show_default=True,
        type=click.Choice(list(METHODS)),
        help="How wordings become an answer; repeat for several from one prefill.",
    ),
    click.option(
        "--num-paraphrases",
        type=click.IntRange(1, 64),
        default=5,
        show_default=True,
        help="Wordings per question, the question itself included.",
    ),
    click.option(
        "--layout",
        type=click.Choice(["concat", "shared"]),
        default="concat",
        show_default=True,
        help="How wordings are packed into one prompt.",
    ),
    click.option(
        "--positions",
        type=click.Choice(["sequential", "aligned"]),
        help="Of packed wordings.  [default: sequential with concat, aligned with shared]",
    ),
    click.option("--max-new-tokens", type=click.IntRange(1, 4096), default=20, show_default=True),
    click.option("--max-samples", type=click.IntRange(1), help="Only the first N questions."),
    click.option(
        "--shard-size",
        type=click.IntRange(1, MAX_ROWS),
        default=64,
        show_default=True,
        help="Questions per message.",
    ),
    click.option(
        "--dtype",
        type=click.Choice(["auto", "bfloat16", "float16", "float32"]),
        default="auto",
        show_default=True,
        help="auto: bfloat16 where the processor computes it natively.",
    ),
    click.option("--overwrite", is_flag=True, help="Throw an existing run's results away."),
    click.option(
        "--failure-limit",
        type=click.FloatRange(0, 1),
        default=0.05,
        show_default=True,
        help="Share of failed rows past which the exit status is 1.",
    ),
]

_REPORT = [
    click.argument("run_names", metavar="RUN...", nargs=-1, required=True),
    click.option(
        "--html",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Also write one page that works offline.",
    ),
    click.option("--json", "as_json", is_flag=True, help="One JSON document for scripts."),
    click.option("--common", is_flag=True, help="Cut to the questions that all runs have."),
    click.option(
        "--metric",
        type=click.Choice(["exact", "lemma"]),
        default="exact",
        show_default=True,
        help="When an answer is right: exact match after normalisation, or lemma match.",
    ),
    click.option(
        "--seed",
        type=click.IntRange(0),
        default=0,
        show_default=True,
        help="Of resampling; the same seed gives the same report.",
    ),
]


def request_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say what to ask of which model."""
    return _with(_REQUEST, command)


def report_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the runs of a report, and the options that say how to make and show it."""
    return _with(_REPORT, command)


def _with(options: Sequence[Decorator], command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(options):
        command = option(command)
    return command


def store_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --store."""
    return click.option(
        "--store",
        help="Directory or pyarrow.fs URI.  [default: SELF_ENSEMBLE_STORE or ./datasets]",
    )(command)


def broker_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --broker."""
    return click.option(
        "--broker", help="Redis URL.  [default: SELF_ENSEMBLE_BROKER or localhost]"
    )(command)
