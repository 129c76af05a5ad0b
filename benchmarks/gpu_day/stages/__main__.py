"""The program that the supervisor starts for each stage."""

import json
import os
from pathlib import Path

import click

from benchmarks.gpu_day.lines import Line


@click.command(hidden=True)
@click.argument("name")
@click.argument("pipe", type=int)
@click.option("--device", required=True)
@click.option("--tiny", is_flag=True)
@click.option("--scratch", type=click.Path(path_type=Path), required=True)
def main(name: str, pipe: int, device: str, tiny: bool, scratch: Path) -> None:
    """Run a stage and write its lines to the pipe."""
    # Compilers' processes must not keep the pipe open after this process ends.
    os.set_inheritable(pipe, False)
    with os.fdopen(pipe, "w") as file:

        def write(line: Line) -> None:
            file.write(json.dumps(line, default=str) + "\n")
            file.flush()

        # Imported here: these modules load torch, and a failure must be this stage's own.
        from benchmarks.gpu_day.stages.bench import Bench, NoSuchDevice
        from benchmarks.gpu_day.stages.registry import STAGES
        from benchmarks.gpu_day.stages.rows import Rows

        try:
            bench = Bench.make(device, tiny, scratch)
        except NoSuchDevice as error:
            write({"no_device": str(error)})
        else:
            STAGES[name](bench, Rows(write))


if __name__ == "__main__":
    main()
