"""The engines to compare: one model, with a named attention backend in prefill.

Budget and compilation are a worker's. The backend is named instead of chosen, because the stages
compare backends.
"""

from typing import TypeVar

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from common.settings import Settings
from worker.engine.attention.choose import find_backend
from worker.engine.budget import choose_budget
from worker.engine.compilation import wants_compiled
from worker.engine.engine import Engine
from worker.engine.verification import compile_engine

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
    attention = find_backend(backend)
    budget, _ = choose_budget(Settings.from_environment(), model, attention)
    engine = kind(model, tokenizer, attention, budget)
    compile_engine(wants_compiled("always" if compiled else "never", None), engine)
    return engine
