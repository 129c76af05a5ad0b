"""Click options that several commands share."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from common.errors import UsageError
from common.limits import MAX_NEW_TOKENS, MAX_ROWS
from common.methods import METHODS
from common.models import DEFAULT_MODEL
from producer.stop_strings import unescape

METHODS_HELP = "\n".join(
    ["\b", "Methods:", *(f"  {name:<33}{row.summary}" for name, row in METHODS.items())]
)

PROMPT_FILE_HELP = """\b
A file for --prompt, with texts that are read as they stand; only `question` is needed:
  instruction = "Answer shortly.\\n\\n"
  example = "Question: {question}\\nAnswer: {answer}\\n\\n"
  question = "Question: {question}\\n"
  cue = "Answer:"
  stop = ["\\n"]
  prediction = "line"    # or "word": what of the answer is the prediction"""

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)

_DATA: list[Decorator] = [
    click.option(
        "--dataset",
        required=True,
        help="Data set: webqa, webqa_mini, myriadlama, pararel, graphquestions, one of another "
        "distribution, or a name of your own with --data.",
    ),
    click.option(
        "--data",
        type=_FILE,
        help="JSONL, CSV, TSV, Parquet, Feather or Arrow file, also gzip or zstd; "
        "docs/datasets.md has the columns.",
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
]

_REVISION: Decorator = click.option(
    "--revision",
    metavar="REV",
    help="Branch, tag or commit of a hub model.  [default: the newest when it is first loaded]",
)


def _thinking(_: click.Context, __: click.Parameter, text: str) -> str | int:
    if text in ("off", "on"):
        return text
    if text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= MAX_NEW_TOKENS:
        return int(text)
    raise UsageError(
        f"--thinking {text!r} is none of off, on and a number of tokens from 1 to {MAX_NEW_TOKENS}"
    )


def _stop(_: click.Context, __: click.Parameter, texts: tuple[str, ...]) -> Any:
    return tuple(map(unescape, texts)) or None


_PROMPT: list[Decorator] = [
    click.option(
        "--prompt",
        metavar="plain|chat|FILE",
        default="plain",
        show_default=True,
        help="Text as published, the model's own chat template, or a template of your own in a "
        "TOML file with question, and example, instruction, cue, stop (docs/prompts.md).",
    ),
    click.option(
        "--thinking",
        metavar="off|on|N",
        default="off",
        show_default=True,
        callback=_thinking,
        help="With --prompt chat: whether the model reasons first; N tokens at most.",
    ),
    click.option(
        "--stop",
        metavar="TEXT",
        multiple=True,
        callback=_stop,
        help="Text that ends an answer; repeat for several. \\n is a newline, \\t a tab, "
        "\\\\ a backslash.  [default: \\n; with chat only the end of the turn]",
    ),
]

_METHOD: list[Decorator] = [
    click.option(
        "--method",
        "methods",
        multiple=True,
        default=("flex_attention",),
        show_default=True,
        type=click.Choice(list(METHODS)),
        help="How paraphrases become an answer; repeat for several from one prefill.",
    ),
    click.option(
        "--layout",
        type=click.Choice(["concat", "shared"]),
        help="How paraphrases are packed into one prompt.  "
        "[default: concat; shared for sentences with [MASK]]",
    ),
    click.option(
        "--positions",
        type=click.Choice(["sequential", "aligned"]),
        help="Of packed paraphrases.  [default: sequential with concat, aligned with shared]",
    ),
]

_NUM_PARAPHRASES: list[Decorator] = [
    click.option(
        "--num-paraphrases",
        type=click.IntRange(1, 64),
        help="Paraphrases per question, the question itself included; not for myriadlama.  "
        "[default: 5]",
    ),
    click.option(
        "--num-manual",
        type=click.IntRange(0, 64),
        help="Paraphrases written by hand, for myriadlama.  [default: 5]",
    ),
    click.option(
        "--num-auto",
        type=click.IntRange(0, 64),
        help="Paraphrases written by a model, for myriadlama.  [default: 5]",
    ),
]

_JOB: list[Decorator] = [
    click.option("--max-samples", type=click.IntRange(1), help="Only the first N questions."),
    click.option(
        "--shard-size",
        type=click.IntRange(1, MAX_ROWS),
        default=64,
        show_default=True,
        help="Questions per message: more are answered faster, fewer are lost with a worker.",
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

_MAX_NEW_TOKENS: Decorator = click.option(
    "--max-new-tokens",
    type=click.IntRange(1, MAX_NEW_TOKENS),
    help="Length of an answer.  [default: 20; 10 for sentences with [MASK]; with --prompt chat "
    "64, N + 64 with --thinking N, 4096 with --thinking on]",
)

_FROM_RUN: Decorator = click.option(
    "--paraphrases",
    metavar="RUN",
    help="Take the questions and paraphrases that a run of `producer paraphrase` wrote.",
)

_NUM_DRAWS: Decorator = click.option(
    "--num-draws",
    type=click.IntRange(1, 10_000),
    help="Answers drawn for each paraphrase to find its confidence.  [default: 100]",
)


def _sampling_options(temperature: float, top_p: float) -> list[Decorator]:
    return [
        click.option(
            "--temperature",
            type=click.FloatRange(0, 10, min_open=True),
            help=f"Of the draws.  [default: {temperature:g}]",
        ),
        click.option(
            "--top-p",
            type=click.FloatRange(0, 1, min_open=True),
            help=f"Share of probability that is drawn from.  [default: {top_p:g}]",
        ),
    ]


def _add(options: Sequence[Decorator]) -> Decorator:
    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


request_options = _add(
    [
        *_DATA,
        _REVISION,
        _FROM_RUN,
        *_METHOD,
        *_NUM_PARAPHRASES,
        *_PROMPT,
        _NUM_DRAWS,
        _MAX_NEW_TOKENS,
        *_JOB,
    ]
)
"""Options of a request: data set, model, methods, and how its runs are answered."""

paraphrase_options = _add(
    [*_DATA[:2], _DATA[-1], _REVISION, _NUM_PARAPHRASES[0], *_sampling_options(1.5, 0.9), *_JOB]
)
"""Options of `paraphrase`: data set, model, and how paraphrases are drawn."""

confidence_options = _add(
    [
        *_DATA,
        _REVISION,
        _FROM_RUN,
        *_NUM_PARAPHRASES,
        *_PROMPT,
        _NUM_DRAWS,
        *_sampling_options(1, 1),
        _MAX_NEW_TOKENS,
        *_JOB,
    ]
)
"""Options of `confidence`: data set, model, and how answers are drawn."""

prompt_options = _add([*_DATA[1:3], _REVISION, *_NUM_PARAPHRASES, *_METHOD[1:], *_PROMPT[:2]])
"""Options of `mask` and `prompt`: examples, paraphrases, prompt style, how prompts are packed."""


def store_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the option --store."""
    return click.option(
        "--store",
        help="Directory or pyarrow.fs URI.  [default: SELF_ENSEMBLE_STORE or ./datasets]",
    )(command)


def broker_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the option --broker."""
    return click.option(
        "--broker",
        help="redis://, rediss:// or unix:// URL.  [default: SELF_ENSEMBLE_BROKER or localhost]",
    )(command)


def waiting_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options --broker, --wait and --local."""
    wait = click.option(
        "--wait", is_flag=True, help="Stay until the runs are merged, with a progress bar."
    )
    local = click.option(
        "--local",
        is_flag=True,
        help="On this machine, with a server and worker of its own.",
    )
    return broker_option(wait(local(command)))
