"""Commands on results: score, report, show."""

import json

import click

from producer.commands.border import console, open_named
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
    from producer.scoring.summary import scores_document, scores_table

    scores = score_runs([open_named(name, store) for name in run_names])
    if as_json:
        click.echo(json.dumps(scores_document(scores)))
        return
    console().print(scores_table(scores))
    for one in scores:
        click.echo(one.feather)


COMMANDS = (score,)
