"""What must hold of a store whenever one looks: compared with what was ever seen in its parts.

Of cancelled, overwritten and deleted runs this holds. A cancellation lasts until the run is
enqueued or retried, or another takes its place. Meanwhile no worker that began after it adds an
answer, and neither a worker nor reconciling that began after it writes a merged file; answers and
merges that were at work may end, and `producer merge` may merge what there is. A generation that
was overwritten or deleted comes back never: no merged file with rows of it is this run's, and none
is written any more. What was there when its deletion was killed may stay, and so may a file whose
writer was killed between the rename and the look after it.
"""

from collections import defaultdict
from typing import Any

import pyarrow as pa

from common.store import RunFolder, list_parts, verify_run
from common.store.manifest import read_manifest
from common.store.parts import read_part
from tests.end_to_end.chaos.gone_generations import GoneGenerations
from tests.end_to_end.chaos.marked_answers import mark_of
from tests.end_to_end.chaos.world import World

Place = tuple[str, str | None]
"""Sample, and the paraphrase if there is a row for each."""


class Claims:
    """Remembers every part that a generation of a run ever had."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._parts: dict[str, dict[str, bytes]] = defaultdict(dict)
        self._read: set[str] = set()
        self._stale: set[str] = set()
        self._merged: dict[str, tuple[bytes, dict[str, bytes]]] = {}
        self._gone = GoneGenerations(world)

    def check(self) -> None:
        self._world.look()
        self._gone.check()
        for run in self._world.runs():
            self._check_verdict(run)
            self._check_parts(run)
            if run.is_merged():
                self._check_merged(run)
        self._world.merging.clear()

    def check_finished(self) -> None:
        """Every run is merged, whole, and verifies."""
        self.check()
        for run in self._world.runs():
            manifest = read_manifest(run)
            assert (manifest.found, manifest.partial) == (run.spec.num_samples, False), run.key
            assert verify_run(run) == [], run.key

    def _check_verdict(self, run: RunFolder) -> None:
        reason = None if self._world.redis.away else self._world.counters.stop_reason(str(run.key))
        assert not (reason or "").startswith(("a worker failed", "merging failed")), reason

    def _check_parts(self, run: RunFolder) -> None:
        generation = run.record.generation
        known, parts = self._parts[generation], list_parts(run)
        assert known.keys() <= set(parts), f"{run.key} lost a part"
        for path in parts:
            content = run.store.read_bytes(path)
            if known.setdefault(path, content) == content and path in self._read:
                continue
            if known[path] != content:  # Two workers had the shard; the later one merges again.
                self._stale.add(str(run.key))
            known[path] = content
            self._read.add(path)
            for row in rows_of(read_part(run.store, path)):
                assert row["uuid"] == f"id-{row['row']:03d}", f"{path} answers another sample"
                self._check_mark(run, row)

    def _check_mark(self, run: RunFolder, row: dict[str, Any]) -> None:
        mark = mark_of(row["prediction"] or row["error"])
        if mark is None:
            return  # Its worker died of it, so no engine made the row.
        uuid, number = mark
        delivery, generation = self._world.deliveries[number], run.record.generation
        opened = delivery.opened.get(str(run.key))
        assert (uuid, opened) == (row["uuid"], generation), f"{run.key}: {row}"
        assert generation not in delivery.barred, f"{run.key} was cancelled: {row}"

    def _check_merged(self, run: RunFolder) -> None:
        merged, parts = run.store.read_bytes(run.feather), self._parts[run.record.generation]
        before, self._merged[str(run.key)] = self._merged.get(str(run.key)), (merged, dict(parts))
        if before == (merged, parts):
            return
        if not before or before[0] != merged:
            self._stale.discard(str(run.key))
            self._check_not_cancelled(run)
        rows = rows_of(run.open_result().read_all())
        width = run.spec.num_paraphrases if run.method.row_per_paraphrase else 1
        places = [place(row) for row in rows]
        assert len(set(places)) == len(places), f"{run.key}: a row is there twice"
        manifest = read_manifest(run)
        assert len(places) == manifest.found * width, f"{run.key}: a row is missing"
        for row in rows:
            self._check_mark(run, row)
        problems = verify_run(run)
        newer = len(list_parts(run)) > manifest.parts or str(run.key) in self._stale
        assert not [p for p in problems if not newer or p.startswith(("rows", "run:"))], problems

    def _check_not_cancelled(self, run: RunFolder) -> None:
        """Somebody may have merged the run: of those who ran, not all were barred from it."""
        barred = [run.record.generation in bars for bars in self._world.merging]
        assert not barred or not all(barred), f"{run.key} was merged though it is cancelled"


def rows_of(table: pa.Table) -> list[dict[str, Any]]:
    names = {"row", "uuid", "paraphrase", "prediction", "error"}
    return table.select([name for name in table.column_names if name in names]).to_pylist()


def place(row: dict[str, Any]) -> Place:
    return row["uuid"], row.get("paraphrase")
