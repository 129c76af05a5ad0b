"""Warming: a loaded model answers invented questions, so that nothing is left to compile.

Prefill compiles for long rows only, so the questions together are long enough for that.
"""

import logging

from common.errors import first_line
from common.methods import get_method
from common.models import find_model
from common.prompts import Template
from worker.compile_cache import compiling
from worker.engine.attention import FLEX_MIN_TOKENS
from worker.engine.engine import Engine
from worker.engine.request import Question, Request
from worker.manager import ModelManager

logger = logging.getLogger(__name__)

_WORDS = "which of the many things that are asked of it does a model answer well"


def warm_up(manager: ModelManager, model: str, dtype: str, num_samples: int | None = None) -> None:
    """Load a model and compile what it needs. What fails is said, and met again by a shard."""
    try:
        held = manager.engine_of(model, find_model(model).location, dtype, num_samples)
        answer_invented_questions(held.engine)
    except Exception as error:
        logger.warning("model %s could not be warmed: %s", model, first_line(error))
    else:
        logger.info("model %s is warm", model)


def answer_invented_questions(engine: Engine) -> None:
    """Prefill a long row and decode two tokens, by methods with one and with many sequences."""
    request = Request(
        methods=(get_method("avg"), get_method("flex_attention")),
        num_paraphrases=3,
        layout="concat",
        positions="sequential",
        template=Template(instruction="Answer the question."),
        few_shot=(),
        max_new_tokens=2,
    )
    words = len(_WORDS.split())
    questions = [
        Question(tuple(f"{number} {paraphrase}: {_WORDS}?" for paraphrase in range(3)))
        for number in range(FLEX_MIN_TOKENS // (3 * words) + 1)
    ]
    with compiling():
        engine.answer(questions, request)
