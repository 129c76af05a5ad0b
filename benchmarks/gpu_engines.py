"""The engines that the GPU benchmark compares: one model, another kernel of prefill each."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from benchmarks.timed_engine import TimedEngine
from worker.engine.attention import FlexKernel, Kernel, SdpaKernel
from worker.engine.cascade_kernel import CascadeKernel, compiled_attend_rows
from worker.engine.compiled import compile_layers
from worker.engine.inner import EAGER, compiled_inner_loops

EAGER_KERNELS: Mapping[str, Callable[[], Kernel]] = {
    "sdpa": SdpaKernel,
    "cascade": CascadeKernel,
}
COMPILED_KERNELS: Mapping[str, Callable[[], Kernel]] = {
    "flex": FlexKernel,
    "sdpa": SdpaKernel,
    "cascade": lambda: CascadeKernel(compiled_attend_rows()),
}

_SDPA_PACK_TOKENS = 4096
"""torch writes all scores of a dense mask out where query heads share key heads."""


@dataclass(frozen=True)
class Engines:
    """How engines are built. pack_tokens: of a prefill row; cache_bytes: decoded at once."""

    tokenizer: PreTrainedTokenizerBase
    eager: bool
    pack_tokens: int
    cache_bytes: int

    @property
    def kernels(self) -> Mapping[str, Callable[[], Kernel]]:
        """FlexAttention is one of them where things are compiled alone."""
        return EAGER_KERNELS if self.eager else COMPILED_KERNELS

    def prepare(self, model: PreTrainedModel) -> None:
        """Once for a model, before its first engine."""
        if not self.eager:
            compile_layers(model)

    def build(self, model: PreTrainedModel, kernel: str) -> TimedEngine:
        """A new engine: nothing is left in it of what was asked of another."""
        pack = min(self.pack_tokens, _SDPA_PACK_TOKENS) if kernel == "sdpa" else self.pack_tokens
        inner = EAGER if self.eager else compiled_inner_loops()
        made = self.kernels[kernel]()
        return TimedEngine(model, self.tokenizer, made, pack, self.cache_bytes, inner)
