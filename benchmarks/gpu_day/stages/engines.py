"""The engines that are compared: one model, with one attention backend or another in prefill.

Budget and compilation are those of a worker; the backend is named instead of chosen, since it is
what is compared.
"""

from collections.abc import Callable, Mapping
from typing import TypeVar

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from common.settings import Settings
from worker.engine.attention import AttentionBackend, FlexBackend, SdpaBackend
from worker.engine.budget import choose_budget
from worker.engine.cascade_backend import CascadeBackend
from worker.engine.compilation import compile_engine, wants_compiled
from worker.engine.engine import Engine

BACKENDS: Mapping[str, Callable[[], AttentionBackend]] = {
    "flex": FlexBackend,
    "sdpa": SdpaBackend,
    "cascade": CascadeBackend,
}

AnyEngine = TypeVar("AnyEngine", bound=Engine)


def build_engine(
    kind: type[AnyEngine],
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    backend: str,
    compiled: bool,
) -> AnyEngine:
    """A new engine around a model.

    compiled: layers and the operations of decoding; FlexAttention's backend always compiles
    itself. Raises StopRun where compiling fails, or compiled code gives another answer.
    """
    budget, _ = choose_budget(Settings.from_environment(), model, backend)
    engine = kind(model, tokenizer, BACKENDS[backend](), budget.pack_tokens, budget.cache_bytes)
    compile_engine(wants_compiled("always" if compiled else "never", None), engine)
    return engine
