"""A tiny model that reasons: its chat template has a switch, its vocabulary the marks."""

from typing import Any

import torch
from transformers import AddedToken, PreTrainedTokenizerFast

from common.prompts import PromptFormat, Template
from tests.worker.engine.families import EOS, FEW_SHOT, VOCABULARY, make_tokenizer
from worker.engine.answer_end import EndRules
from worker.engine.engine import Engine
from worker.engine.request import Request
from worker.model.reasoning import ReasoningMarks
from worker.model.tokenizer import PromptTokenizer

THINK, THOUGHT, USER, ASSISTANT, END_OF_TURN = range(VOCABULARY - 6, VOCABULARY - 1)
SWITCH = "{% if enable_thinking %}<think>\n{% else %}<think>\n\n</think>\n\n{% endif %}"
"""As in the templates of models whose prompt itself begins to reason."""

TURNS = (
    "{% for message in messages %}"
    "<|{{ 'assistant' if message.role == 'assistant' else 'user' }}|>{{ message.content }}<|end|>"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>"
)


def make_thinking_tokenizer(switch: str = SWITCH, end: str = "</think>") -> Any:
    """The tiny tokenizer with a chat template; switch: what the model's turn begins with.

    end: the content of the token that ends reasoning; the mark itself, or a part of it.
    """
    tokenizer: PreTrainedTokenizerFast = make_tokenizer(bos=False)
    tokenizer.add_tokens(["<think>", end])
    roles = ["<|user|>", "<|assistant|>", "<|end|>"]
    tokenizer.add_tokens([AddedToken(role, special=True) for role in roles], special_tokens=True)
    tokenizer.chat_template = TURNS + switch + "{# </think> #}{% endif %}"
    return tokenizer


def chat_format(thinking: bool = True) -> PromptFormat:
    return PromptFormat(
        Template(instruction="Say one word."), FEW_SHOT, "chat", thinking, "26 Jul 2024"
    )


def encourage(engine: Engine, tokens: list[int], factor: float = 1.6) -> None:
    """Make a tiny model give some tokens more often."""
    with torch.no_grad():
        engine.model.lm_head.weight[tokens] *= factor


def thinking_ends(tokenizer: Any, request: Request, begins: bool) -> tuple[EndRules, list[bytes]]:
    """What ends the answers to a chat request, and the bytes of tokens, for the reference."""
    end_ids = tokenizer("</think>", add_special_tokens=False)["input_ids"]
    marks = ReasoningMarks("<think>", "</think>", tuple(end_ids))
    rules = EndRules(request.stop, (EOS, END_OF_TURN), marks, begins)
    return rules, PromptTokenizer(tokenizer).token_bytes.by_id
