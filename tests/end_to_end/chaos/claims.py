"""What must hold of a store whenever one looks: compared with what was ever seen in its parts."""

from collections import defaultdict
from typing import Any

import pyarrow as pa

from common.store import RunFolder, list_parts, verify_run
from common.store.manifest import read_manifest
from common.store.parts import read_part
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

    def check(self) -> None:
        for run in self._world.runs():
            self._check_verdict(run)
            self._check_parts(run)
            if run.is_merged():
                self._check_merged(run)

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
        opened = self._world.deliveries[number].opened.get(str(run.key))
        assert (uuid, opened) == (row["uuid"], run.record.generation), f"{run.key}: {row}"

    def _check_merged(self, run: RunFolder) -> None:
        merged, parts = run.store.read_bytes(run.feather), self._parts[run.record.generation]
        before, self._merged[str(run.key)] = self._merged.get(str(run.key)), (merged, dict(parts))
        if before == (merged, parts):
            return
        if before and before[0] != merged:
            self._stale.discard(str(run.key))
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


def rows_of(table: pa.Table) -> list[dict[str, Any]]:
    names = {"row", "uuid", "paraphrase", "prediction", "error"}
    return table.select([name for name in table.column_names if name in names]).to_pylist()


def place(row: dict[str, Any]) -> Place:
    return row["uuid"], row.get("paraphrase")
