"""The engines to compare: one model, with a named attention backend in prefill.

Budget and compilation are a worker's. The backend is named instead of chosen, because the stages
compare backends.
"""

from collections.abc import Callable, Mapping
from typing import TypeVar

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from common.settings import Settings
from worker.engine.attention.backend import AttentionBackend
from worker.engine.attention.cascade_prefill import CascadeBackend
from worker.engine.attention.flex import FlexBackend
from worker.engine.attention.sdpa import SdpaBackend
from worker.engine.budget import choose_budget
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
    """Build a new engine around a model.

    compiled: compile layers and decode operations; FlexAttention's backend always compiles
    itself. Raises StopRun if compiling fails, or if compiled code gives another answer.
    """
    budget, _ = choose_budget(Settings.from_environment(), model, backend)
    engine = kind(model, tokenizer, BACKENDS[backend](), budget.pack_tokens, budget.cache_bytes)
    compile_engine(wants_compiled("always" if compiled else "never", None), engine)
    return engine
