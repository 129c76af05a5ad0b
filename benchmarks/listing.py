"""`producer runs` at size: the progress of every run of a store.

    python -m benchmarks.listing

The progress comes from the names in one listing. For comparison every part is opened as well,
which is what telling the progress took before the names told it.
"""

from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from benchmarks.measure import ONCE, RepeatLimit, timed
from benchmarks.options import Benchmark, repeats_option
from benchmarks.report import BenchmarkReport, BenchmarkRow, describe_machine
from common.prompts import QUESTION_ANSWERING
from common.records import ResultRow, Sample
from common.run import RunKey, RunSpec
from common.store import PartInfo, RunFolder, StoreFilesystem, list_parts, list_runs
from common.store.parts import part_path, read_infos, write_part
from common.store.snapshot import SnapshotWriter
from producer.listing import list_every_run

ROWS_PER_PART = 64


@click.command(cls=Benchmark)
@click.option("--runs", type=click.IntRange(1, 100_000), default=1_000, show_default=True)
@click.option(
    "--parts", type=click.IntRange(1, 10_000), default=100, show_default=True, help="Of each run."
)
@repeats_option
def main(runs: int, parts: int, repeats: int) -> None:
    """Seconds to tell the progress of every run, and to open every part."""
    with TemporaryDirectory(prefix="self-ensemble-listing-") as folder:
        store = StoreFilesystem.open(folder)
        make_runs(store, runs, parts)
        rows = measure(store, runs * parts, RepeatLimit(repeats))
    claim = f"{runs:,} runs of {parts:,} parts on a local disk"
    ratios = {f"{rows[1]['step']} over {rows[0]['step']}": rows[1]["seconds"] / rows[0]["seconds"]}
    BenchmarkReport(claim, describe_machine(), {}, rows, ratios).show()


def measure(store: StoreFilesystem, parts: int, limit: RepeatLimit) -> list[BenchmarkRow]:
    """Time the listing, then opening every part, which takes too long to be repeated."""
    steps = {
        "the listing": timed(partial(list_every_run, store), limit),
        "opening every part": timed(partial(open_every_part, store), ONCE),
    }
    return [
        {"step": step, "parts": parts, "seconds": time.seconds, "parts/s": parts / time.seconds}
        for step, time in steps.items()
    ]


def open_every_part(store: StoreFilesystem) -> int:
    """Read the metadata of every part of a store; return how many rows they hold."""
    return sum(len(info.rows) for run in list_runs(store) for info in read_infos(run))


def make_runs(store: StoreFilesystem, runs: int, parts: int) -> None:
    """Write runs that have all of their parts; the content of these is that of the first part."""
    for number in range(runs):
        run = RunFolder(store, RunKey("numbers", "model", f"origin+{number}"))
        with SnapshotWriter(store, f".snapshot-{number}.arrow") as writer:
            writer.add(Sample(("what is 1?",), ("1",), "1"))
        run.create(spec(parts * ROWS_PER_PART, writer.sha256), writer.path, {})
        path = Path(store.path(write_part(run, info(run, 0), [ResultRow(0, 0, "1", "1")])))
        content = path.read_bytes()
        for part in range(1, parts):
            Path(store.path(part_path(run, info(run, part)))).write_bytes(content)
        assert len(list_parts(run)) == parts


def spec(num_samples: int, sha256: str) -> RunSpec:
    return RunSpec(
        dataset="numbers", num_samples=num_samples, dataset_sha256=sha256, model="model",
        model_source="model", method="origin", num_paraphrases=1, layout=None, positions=None,
        template=QUESTION_ANSWERING, few_shot=(), max_new_tokens=20, dtype="float32",
    )  # fmt: skip


def info(run: RunFolder, part: int) -> PartInfo:
    first = part * ROWS_PER_PART
    return PartInfo(
        rows=tuple(range(first, first + ROWS_PER_PART)), failed=(),
        fingerprint=run.record.fingerprint, model_identity="none", started=0.0, finished=1.0,
        choices={}, counts={}, worker="benchmark",
    )  # fmt: skip


if __name__ == "__main__":
    main()
