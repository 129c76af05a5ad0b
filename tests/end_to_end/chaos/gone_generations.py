"""Generations that were overwritten or deleted: no merged file of them is written any more."""

import json

from common.errors import UsageError
from common.schema import META_RUN
from tests.end_to_end.chaos.world import World


class GoneGenerations:
    """Remembers which generations there were, and what was left of those that are gone."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._stood: set[str] = set()
        self._gone: set[str] = set()
        self._left: set[bytes] = set()

    def check(self) -> None:
        stands = {run.record.generation for run in self._world.runs()}
        went = self._stood - stands
        self._stood = stands
        for generation, content in self._merged_files():
            if generation in went or self._world.killed:
                self._left.add(content)
            elif generation in self._gone and not self._world.paused:
                assert content in self._left, f"{generation} is gone, and was merged"
        self._gone |= went
        self._world.killed = False

    def _merged_files(self) -> list[tuple[str, bytes]]:
        """Generation and content of each merged file that can be read."""
        store, found = self._world.store, []
        for path in store.list("", recursive=True):
            if path.endswith(".feather"):
                try:
                    metadata = store.open_arrow(path).schema.metadata
                except UsageError:
                    continue
                generation = json.loads(metadata[META_RUN])["generation"]
                found.append((generation, store.read_bytes(path)))
        return found
