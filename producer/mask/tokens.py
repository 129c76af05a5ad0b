"""The tokens of a sample's pieces, by the tokenizer and the code that the engine uses.

The one module of the producer that asks the worker for something, and only when it is called:
pieces cut by other code could differ from those a run is answered with.
"""

import importlib.util
from collections.abc import Callable, Sequence

from common.errors import UsageError
from common.layout import PromptTokens
from common.models import ModelSource
from common.prompts import Example, Template

TextOf = Callable[[int], str]


def tokenize(
    model: ModelSource, paraphrases: Sequence[str], template: Template, few_shot: Sequence[Example]
) -> tuple[PromptTokens, TextOf]:
    """The pieces of one sample, and what gives the literal text of a token id.

    Loads the model's tokenizer, not its weights. Raises UsageError where torch or transformers
    is missing, StopRun where the tokenizer cannot be had.
    """
    missing = [
        name for name in ("torch", "transformers") if importlib.util.find_spec(name) is None
    ]
    if missing:
        raise UsageError(
            f"a picture of tokens needs the model's tokenizer, and {' and '.join(missing)} "
            "cannot be imported here; pip install 'self-ensemble[worker]'"
        )
    from worker.model.loader import load_tokenizer
    from worker.model.tokenizer import PromptTokenizer

    tokenizer = PromptTokenizer(load_tokenizer(model))
    return tokenizer.pieces(paraphrases, template, few_shot), tokenizer.literal
