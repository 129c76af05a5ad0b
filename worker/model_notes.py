"""Model notes: which model a process loads or holds, for `common.live_workers`. Hints only."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from common.live_workers import forget_model, note_model
from common.run_counters import RunCounters
from worker.hints import hint


class ModelNotes:
    """The notes of one process; a broker that is away is passed over.

    place: of the worker to which the process belongs. slot: number of the process there.
    """

    def __init__(self, counters: RunCounters, place: str, slot: int) -> None:
        self._counters = counters
        self._place = place
        self._slot = slot
        self._held: str | None = None

    @contextmanager
    def loading(self, model: str, held: Callable[[], str | None]) -> Iterator[None]:
        """Note that a model is being loaded, and afterwards the one that `held` returns."""
        if model != self._held:
            self._note(model, loading=True)
        try:
            yield
        finally:
            if model != self._held or held() != model:
                self._held = held()
                self._note(self._held)

    def begin(self) -> None:
        """Forget what an earlier process in this slot noted."""
        self._note(None)

    def _note(self, model: str | None, loading: bool = False) -> None:
        if model is None:
            note = partial(forget_model, self._counters, self._place, self._slot)
        else:
            note = partial(note_model, self._counters, self._place, self._slot, model, loading)
        hint(note, None, "the model of this process is not noted")
