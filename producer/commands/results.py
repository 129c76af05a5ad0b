"""The commands score and report, on merged runs."""

import json
from pathlib import Path
from typing import Any

import click

from producer.commands.shared import console, open_named, print_line
from producer.options import store_option


@click.command()
@click.argument("run_names", metavar="RUN...", nargs=-1, required=True)
@store_option
@click.option("--json", "as_json", is_flag=True, help="One JSON document for scripts.")
def score(run_names: tuple[str, ...], store: str | None, as_json: bool) -> None:
    """Say which answers of merged runs are right, in columns of their feather files.

    Exact match, token F1 and lemma match, against any alias. Needs no GPU; scoring again changes
    nothing.

    \b
    Example:
        producer score webqa/llama3.2_3b_it/flex_attention-5 webqa/llama3.2_3b_it/avg-5
    """
    from producer.scoring.score import score_runs
    from producer.scoring.totals import scores_document, scores_table

    scores = score_runs([open_named(name, store) for name in run_names])
    if as_json:
        print_line(json.dumps(scores_document(scores)))
        return
    console().print(scores_table(scores))
    for one in scores:
        print_line(one.feather)


@click.command()
@click.argument("run_names", metavar="RUN...", nargs=-1, required=True)
@click.option(
    "--html",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Also write one page that works offline.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document for scripts.")
@click.option("--common", is_flag=True, help="Cut to the questions that all runs have.")
@click.option(
    "--metric",
    type=click.Choice(["exact", "lemma"]),
    default="exact",
    show_default=True,
    help="When an answer is right: exact match after normalization, or lemma match.",
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Of resampling; the same seed gives the same report.",
)
@store_option
def report(run_names: tuple[str, ...], store: str | None, **options: Any) -> None:
    """Compare merged runs: accuracies, differences with intervals and tests, paraphrases.

    \b
    Example:
        producer report webqa/llama3.2_3b_it/origin webqa/llama3.2_3b_it/flex_attention-5 \\
            --html report.html
    """
    from producer.report.installed import check_installed

    check_installed()
    from producer.report.show import show_report

    show_report([open_named(name, store) for name in run_names], console(), **options)


COMMANDS = (score, report)
