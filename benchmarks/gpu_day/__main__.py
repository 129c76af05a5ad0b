"""The command: `python -m benchmarks.gpu_day --out DIR`."""

import signal
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from benchmarks.gpu_day.lines import NAME, Line, LineWriter, read_lines
from benchmarks.gpu_day.plan import STAGES, Stage
from benchmarks.gpu_day.supervisor import NoDevice, Supervisor, join_logs
from benchmarks.gpu_day.table import described, show, status

TOTAL_SECONDS = 500.0
"""A lent machine gives a command 560 s: the rest is for starting Python and the last kill."""


def _stages(context: click.Context, option: click.Parameter, names: str | None) -> list[Stage]:
    if names is None:
        return list(STAGES)
    known = {stage.name: stage for stage in STAGES}
    unknown = [name for name in names.split(",") if name not in known]
    if unknown:
        raise click.BadParameter(f"{unknown[0]!r} is no stage; stages are {', '.join(known)}")
    return [known[name] for name in names.split(",")]


def _existing_lines(
    context: click.Context, option: click.Parameter, path: Path | None
) -> list[Line] | None:
    try:
        return None if path is None else read_lines(path)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


_FOLDER, _FILE = (
    click.Path(file_okay=False, path_type=Path),
    click.Path(exists=True, dir_okay=False, path_type=Path),
)


@click.command()
@click.option("--out", type=_FOLDER, help="Folder for the lines and the logs.")
@click.option("--device", default="cuda", show_default=True, help="Or cuda:1; cpu with --tiny.")
@click.option("--tiny", is_flag=True, help="A tiny model and few questions: a rehearsal.")
@click.option(
    "--only", "stages", callback=_stages, metavar="STAGE,...", help="Run these stages alone."
)
@click.option(
    "--total",
    type=click.FloatRange(min=0),
    default=TOTAL_SECONDS,
    show_default=True,
    help="Seconds after which no stage goes on.",
)
@click.option(
    "--stretch",
    type=click.FloatRange(min=0, min_open=True),
    default=1.0,
    show_default=True,
    help="Factor on the limit of each stage.",
)
@click.option(
    "--table", "lines", type=_FILE, callback=_existing_lines,
    help="Print the table of lines that are there, and measure nothing.",
)  # fmt: skip
def main(lines: list[Line] | None, out: Path | None, **options: Any) -> None:
    """Measure one GPU in about eight minutes; the exit status is 1 where an answer is wrong.

    Lines go to DIR/gpu_day.jsonl as they come, logs to DIR/logs.txt at the end.
    """
    if lines is None:
        if out is None:
            raise click.UsageError("give --out DIR to measure, or --table FILE to read")
        lines = measure(out, **options)
    show(lines)
    raise SystemExit(status(lines))


def measure(
    out: Path, device: str, tiny: bool, stages: list[Stage], total: float, stretch: float
) -> list[Line]:
    """Run the stages; returns the lines of this run."""
    if device == "cpu" and not tiny:
        raise click.UsageError("--device cpu is for rehearsals; add --tiny")
    # A lent machine ends commands with SIGTERM, and the running stage must end, too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    out.mkdir(parents=True, exist_ok=True)
    writer, lines = LineWriter(out / NAME), []

    def write(line: Line) -> None:
        lines.append(writer.write(line))
        if text := described(lines[-1]):
            click.echo(text)

    write(
        {
            "stage": "all", "event": "begin", "date": datetime.now(UTC).isoformat(" ", "seconds"),
            "device": device, "tiny": tiny, "total": total,
        }
    )  # fmt: skip

    with tempfile.TemporaryDirectory(prefix="gpu-day-") as scratch:
        try:
            Supervisor(write, out, Path(scratch), device, tiny, stretch).run(stages, total)
        except NoDevice as error:
            raise click.ClickException(str(error)) from None
        finally:
            join_logs(out)
    return lines


if __name__ == "__main__":
    main()
