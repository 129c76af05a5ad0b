"""A check that every layer of a model attends exactly once in a step."""

from collections import Counter
from collections.abc import Callable

from torch import Tensor, nn

from common.errors import StopRun

AttendLayer = Callable[[int, Tensor, Tensor, Tensor, float], Tensor]
"""Attention of one layer.

Layer, query [1, H, T, D], key [1, H_kv, T, D], value [1, H_kv, T, D_v], scaling ->
[1, H, T, D_v].
"""


class LayerCalls:
    """Passes the calls of layers on to `attend` and records which layers called."""

    def __init__(self, attend: AttendLayer) -> None:
        self._attend = attend
        self._called: list[int] = []

    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float
    ) -> Tensor:
        self._called.append(layer)
        return self._attend(layer, query, key, value, scaling)

    def check(self, model: nn.Module, layers: int) -> None:
        """Raise StopRun unless each of `layers` layers has called exactly once, in order."""
        if self._called == list(range(layers)):
            return
        calls = Counter(self._called)
        odd = next((i for i in range(layers) if calls[i] != 1), None)
        how = (
            f"its layers attend in the order {self._called}"
            if odd is None or set(calls) - set(range(layers))
            else f"layer {odd} attends {calls[odd]} times"
        )
        raise StopRun(
            f"{type(model).__name__} cannot be used here: {how} in one step of the model, and "
            "only models whose layers attend exactly once each are supported"
        )
