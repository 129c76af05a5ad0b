"""The engines that the GPU benchmark compares: one model, another kernel of prefill each.

Budget and compilation are what a worker gives an engine; the kernel is named instead of chosen,
since it is what is compared.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from benchmarks.timed_engine import TimedEngine
from common.config import Settings
from worker.budget import choose_budget
from worker.compilation import compile_engine, wants_compiled
from worker.engine.attention import FlexKernel, Kernel, SdpaKernel
from worker.engine.cascade_kernel import CascadeKernel

_KERNELS: Mapping[str, Callable[[], Kernel]] = {
    "flex": FlexKernel,
    "sdpa": SdpaKernel,
    "cascade": CascadeKernel,
}


@dataclass(frozen=True)
class Engines:
    """How engines are built. eager: nothing is compiled, so FlexAttention's kernel is none."""

    tokenizer: PreTrainedTokenizerBase
    eager: bool

    @property
    def kernels(self) -> tuple[str, ...]:
        """The names of those that there are."""
        return tuple(name for name in _KERNELS if name != "flex" or not self.eager)

    def build(self, model: PreTrainedModel, kernel: str) -> TimedEngine:
        """A new engine: nothing is left in it of what was asked of another.

        Raises StopRun where compiling fails, or compiled code gives another answer.
        """
        settings = Settings.from_environment()
        budget, _ = choose_budget(settings, model, kernel)
        limits = budget.pack_tokens, budget.cache_bytes
        engine = TimedEngine(model, self.tokenizer, _KERNELS[kernel](), *limits)
        compile_engine(wants_compiled("never" if self.eager else "always", None), engine)
        return engine
