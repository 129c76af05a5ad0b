"""The survey: every causal family of transformers, answered exactly or refused.

    python -m benchmarks.families --write docs/models.md

A seeded tiny model of each: `per_prompt` over packed prompts against `generate`, `flex_attention`
in both layouts against the reference. Takes some minutes on one core.
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
    for found in survey(only or families()):
        click.echo(_line(found), err=True)
        surveyed.append(found)
    versions = f"transformers {version('transformers')}, torch {torch.__version__}"
    if write:
        write_page(write, surveyed, versions)
    claim = f"{versions}: families against generate and the reference"
    rows = [_row(found) for found in surveyed]
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


def _name(found: Surveyed) -> str:
    return f"{found.family} ({found.variant})" if found.variant else found.family


def _line(found: Surveyed) -> str:
    return f"{_name(found)}: {found.verdict.kind} {found.verdict.text}".rstrip()


def _row(found: Surveyed) -> BenchmarkRow:
    return {
        "family": found.family,
        "variant": found.variant,
        "class": found.class_name,
        "verdict": found.verdict.kind,
        "reason": found.verdict.text,
    }


if __name__ == "__main__":
    main()
