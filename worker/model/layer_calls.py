"""A check that the layers of a model attend in each step as its geometry says."""

from torch import Tensor, nn

from common.errors import StopRun
from worker.model.attention_interface import AttendLayer, LayerCall
from worker.model.geometry import ModelGeometry


class LayerCalls:
    """Records the calls of a model's layers and passes each on to `attend`."""

    def __init__(self, attend: AttendLayer, geometry: ModelGeometry) -> None:
        self._attend = attend
        self._geometry = geometry
        self._calls: list[LayerCall] = []

    def attend(self, call: LayerCall, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        self._calls.append(call)
        return self._attend(call, query, key, value)

    def check(self, model: nn.Module) -> None:
        """Raise StopRun unless each layer has called once, in order, with its cap and window."""
        fault = self._geometry.calls_fault(self._calls)
        if fault:
            raise StopRun(f"{type(model).__name__} cannot be used here: {fault}")
