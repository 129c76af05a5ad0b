"""Tokenize the prompts of a sample with the engine's own tokenizer code.

The only module of the producer that imports from the worker, and only when it is called: other
code might cut prompts differently from the run that it explains.
"""

import importlib.util
from collections.abc import Callable, Sequence

from common.errors import UsageError
from common.layout import PromptTokens
from common.models import ModelSource
from common.prompts import PromptFormat

TextOf = Callable[[int], str]


def tokenize(
    model: ModelSource, prompt_format: PromptFormat, paraphrases: Sequence[str]
) -> tuple[PromptTokens, TextOf]:
    """The tokens of one sample's prompts, and a function from a token id to its literal text.

    Loads the model's tokenizer, not its weights. Raises UsageError if torch or transformers is
    not installed, StopRun if the tokenizer cannot be loaded.
    """
    missing = [
        name for name in ("torch", "transformers") if importlib.util.find_spec(name) is None
    ]
    if missing:
        raise UsageError(
            f"a picture of tokens needs the model's tokenizer, and {' and '.join(missing)} "
            "cannot be imported here; pip install 'self-ensemble[worker]'"
        )
    from worker.model.model_place import load_tokenizer
    from worker.model.tokenizer import PromptTokenizer

    tokenizer = PromptTokenizer(load_tokenizer(model))
    return tokenizer.cut(prompt_format, paraphrases), tokenizer.literal
