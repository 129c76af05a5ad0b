"""Engine statistics: the work of a call, and the seconds that it took. Imports no torch."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass
class EngineStats:
    """Work of calls: tokens computed in prefill, tokens fed in decoding, and the seconds."""

    prefill_tokens: int = 0
    decode_tokens: int = 0
    prefill_seconds: float = 0.0
    decode_seconds: float = 0.0

    def __add__(self, other: "EngineStats") -> "EngineStats":
        """Add the work of two calls.

        >>> EngineStats(2, 3, 0.5, 1.0) + EngineStats(5, 7, 0.25, 2.0)
        EngineStats(prefill_tokens=7, decode_tokens=10, prefill_seconds=0.75, decode_seconds=3.0)
        """
        return EngineStats(
            self.prefill_tokens + other.prefill_tokens,
            self.decode_tokens + other.decode_tokens,
            self.prefill_seconds + other.prefill_seconds,
            self.decode_seconds + other.decode_seconds,
        )

    @contextmanager
    def prefilling(self) -> Iterator[None]:
        """Count the seconds of the block as prefill; the block waits for the device."""
        started = time.perf_counter()
        yield
        self.prefill_seconds += time.perf_counter() - started

    @contextmanager
    def decoding(self) -> Iterator[None]:
        """Count the seconds of the block as decoding; its steps wait for the device."""
        started = time.perf_counter()
        yield
        self.decode_seconds += time.perf_counter() - started
