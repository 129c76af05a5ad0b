"""Tokenize the prompts of a sample with the engine's own tokenizer code.

The only module of the producer that imports from the worker, and only when it is called: other
code might cut prompts differently from the run that it explains. It needs transformers, no torch.
"""

import importlib.util
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from common.errors import UsageError
from common.layout import PromptTokens
from common.models import ModelSource
from common.prompts import PromptFormat

if TYPE_CHECKING:
    from worker.model.tokenizer import PromptTokenizer

TextOf = Callable[[int], str]


def tokenize(
    model: ModelSource, prompt_format: PromptFormat, paraphrases: Sequence[str]
) -> tuple[PromptTokens, TextOf]:
    """The tokens of one sample's prompts, and a function from a token id to its literal text.

    Raises what `load_prompt_tokenizer` raises.
    """
    tokenizer = load_prompt_tokenizer(model)
    return tokenizer.cut(prompt_format, paraphrases), tokenizer.literal


def load_prompt_tokenizer(model: ModelSource) -> "PromptTokenizer":
    """Load the model's tokenizer, not its weights.

    Raises UsageError if transformers is not installed, StopRun if the tokenizer cannot be loaded.
    """
    missing = [
        name for name in ("transformers", "jinja2") if importlib.util.find_spec(name) is None
    ]
    if missing:
        raise UsageError(
            f"the tokens of a prompt need the model's tokenizer, and {' and '.join(missing)} "
            "cannot be imported here; pip install 'self-ensemble[tokenizer]'"
        )
    # Without torch transformers prints that models cannot be used; none is here.
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
    from worker.model.model_place import load_tokenizer
    from worker.model.tokenizer import PromptTokenizer

    return PromptTokenizer(load_tokenizer(model))
