"""The bias of the keys that decoding rows see: -inf hides a key, log(n) makes it count n times."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

Biases = tuple[Tensor, Tensor]
"""Biases of the prefix, float32 [B, 1, O, P], and of the suffix, float32 [B, 1, L]."""


@dataclass
class KeyBias:
    """Biases of B rows that feed one token a step, and the positions that windows depend on.

    prefix: float32 [B, 1, O, P]. suffix: float32 [B, 1, slots]. offsets: at which a row reads the
    prefix, int64 [B, O]. prefix_positions: without offset, int64 [P]. suffix_positions: int64
    [B, slots]. positions: of the token that is fed next, int64 [B]. last_position: the largest of
    them, on the host.
    """

    prefix: Tensor
    suffix: Tensor
    offsets: Tensor
    prefix_positions: Tensor
    suffix_positions: Tensor
    positions: Tensor
    last_position: int
    _by_window: dict[int, Biases] = field(default_factory=dict, init=False)

    def of(self, window: int | None, num_slots: int) -> Biases:
        """Return the biases for a layer's window, of the first `num_slots` suffix slots.

        A key is hidden at `window` positions before the token and farther away.
        """
        if window is None or self.last_position < window:
            return self.prefix, self.suffix[..., :num_slots]
        if window not in self._by_window:
            self._by_window[window] = self._hidden(window, num_slots)
        return self._by_window[window]

    def _hidden(self, window: int, num_slots: int) -> Biases:
        first = self.positions - window  # The last position that is hidden.
        far = self.offsets[..., None] + self.prefix_positions <= first[:, None, None]
        prefix = self.prefix.masked_fill(far[:, None], -torch.inf)
        far = self.suffix_positions[:, :num_slots] <= first[:, None]
        return prefix, self.suffix[..., :num_slots].masked_fill(far[:, None], -torch.inf)

    def move_on(self, steps: int) -> None:
        """Count so many tokens fed per row; a number below 0 takes them back."""
        self.positions += steps
        self.last_position += steps
        self._by_window.clear()

    def keep(self, rows: Tensor) -> None:
        """Keep these rows, in this order."""
        self.prefix, self.suffix = self.prefix[rows], self.suffix[rows]
        self.offsets, self.positions = self.offsets[rows], self.positions[rows]
        self.suffix_positions = self.suffix_positions[rows]
        self._by_window.clear()
