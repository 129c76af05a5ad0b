"""Warm-up: a loaded engine answers invented questions, so that the first shard compiles nothing.

Prefill compiles for long rows only, so the questions together make a long row.
"""

from common.methods import get_method
from common.prompts import PromptFormat, Template
from common.records import Sample
from worker.engine.attention.backend import FLEX_MIN_TOKENS
from worker.engine.engine import Engine
from worker.engine.request import Request
from worker.model.compile_cache import compiling

_WORDS = "which of the many things that are asked of it does a model answer well"


def warm_up(engine: Engine) -> None:
    """Prefill a long row and decode two tokens, by methods of one and of several sequences."""
    request = Request(
        methods=(get_method("avg"), get_method("flex_attention")),
        num_paraphrases=3,
        layout="concat",
        positions="sequential",
        prompt_format=PromptFormat(Template(instruction="Answer the question.")),
        max_new_tokens=2,
    )
    words = len(_WORDS.split())
    questions = [
        Sample(tuple(f"{number} {paraphrase}: {_WORDS}?" for paraphrase in range(3)))
        for number in range(FLEX_MIN_TOKENS // (3 * words) + 1)
    ]
    with compiling():
        engine.run(questions, request)
