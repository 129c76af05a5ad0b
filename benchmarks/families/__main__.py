"""The survey: does the engine answer every causal family of transformers exactly, or refuse it?

    python -m benchmarks.families --write docs/models.md

It builds a seeded tiny model of each family, and compares `per_prompt` over packed prompts with
`generate`, and `flex_attention` in both layouts with the reference. It takes some minutes on one
core.
"""

from importlib.metadata import version
from pathlib import Path

import click
import torch

from benchmarks.families.page import write_page
from benchmarks.families.survey import Surveyed, families, survey
from benchmarks.families.verdict import SEED
from benchmarks.options import Benchmark
from benchmarks.report import BenchmarkReport, BenchmarkRow, describe_torch

_NOTES = (
    "exact: all tokens equal; refused: a sentence, no answer; not built: nothing to compare with",
)


@click.command(cls=Benchmark)
@click.option("--only", multiple=True, help="A family's model_type; repeat for several.")
@click.option(
    "--write",
    type=click.Path(dir_okay=False, exists=True, path_type=Path),
    help="A page behind whose mark the tables of all families go.",
)
def main(only: tuple[str, ...], write: Path | None) -> None:
    """Survey the causal families of the installed transformers."""
    _check(only, write)
    surveyed = []
    for each in survey(only or families()):
        click.echo(_line(each), err=True)
        surveyed.append(each)
    versions = f"transformers {version('transformers')}, torch {torch.__version__}"
    if write:
        write_page(write, surveyed, versions)
    claim = f"{versions}: families against generate and the reference"
    rows = [_row(each) for each in surveyed]
    BenchmarkReport(claim, describe_torch(), {"weights": SEED}, rows, notes=_NOTES).show()
    _fail_where_wrong(surveyed)


def _check(only: tuple[str, ...], write: Path | None) -> None:
    if unknown := sorted(set(only) - set(families())):
        raise click.UsageError(
            f"--only {unknown[0]}: transformers {version('transformers')} has no causal family of "
            "this model_type"
        )
    if only and write:
        raise click.UsageError("--write needs all families; leave --only out")


def _fail_where_wrong(surveyed: list[Surveyed]) -> None:
    wrong = [_name(each) for each in surveyed if each.verdict.kind in ("wrong", "error")]
    if wrong:
        raise click.ClickException(
            f"{len(wrong)} neither exact nor refused in a sentence: {', '.join(wrong)}"
        )


def _name(surveyed: Surveyed) -> str:
    return f"{surveyed.family} ({surveyed.variant})" if surveyed.variant else surveyed.family


def _line(surveyed: Surveyed) -> str:
    return f"{_name(surveyed)}: {surveyed.verdict.kind} {surveyed.verdict.text}".rstrip()


def _row(surveyed: Surveyed) -> BenchmarkRow:
    return {
        "family": surveyed.family,
        "variant": surveyed.variant,
        "class": surveyed.class_name,
        "verdict": surveyed.verdict.kind,
        "reason": surveyed.verdict.text,
    }


if __name__ == "__main__":
    main()
