"""The engines that are compared: one model, with one attention kernel or another in prefill.

Budget and compilation are those of a worker; the kernel is named instead of chosen, since it is
what is compared.
"""

from collections.abc import Callable, Mapping
from typing import TypeVar

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from common.config import Settings
from worker.budget import choose_budget
from worker.compilation import compile_engine, wants_compiled
from worker.engine.attention import FlexKernel, Kernel, SdpaKernel
from worker.engine.cascade_kernel import CascadeKernel
from worker.engine.engine import Engine

KERNELS: Mapping[str, Callable[[], Kernel]] = {
    "flex": FlexKernel,
    "sdpa": SdpaKernel,
    "cascade": CascadeKernel,
}

AnyEngine = TypeVar("AnyEngine", bound=Engine)


def build_engine(
    kind: type[AnyEngine],
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    kernel: str,
    compiled: bool,
) -> AnyEngine:
    """A new engine around a model.

    compiled: layers and inner loops; FlexAttention's kernel always compiles itself. Raises
    StopRun where compiling fails, or compiled code gives another answer.
    """
    budget, _ = choose_budget(Settings.from_environment(), model, kernel)
    engine = kind(model, tokenizer, KERNELS[kernel](), budget.pack_tokens, budget.cache_bytes)
    compile_engine(wants_compiled("always" if compiled else "never", None), engine)
    return engine
