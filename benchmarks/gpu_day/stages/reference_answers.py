"""The reference's answers on the CPU, in float32; the first check saves them for the others."""

from dataclasses import replace
from pathlib import Path
from typing import get_args

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from benchmarks.engine import METHODS
from benchmarks.gpu_day.stages.compare import CheckedAnswer, CheckedAnswers
from benchmarks.questions import many_questions
from benchmarks.workload import Workload
from common.layout import PackedPrompt
from common.methods import Method
from common.records import Sample
from common.run import Layout
from worker.engine.answer_end import EndRules
from worker.engine.reference import reference_decode, reference_prompts
from worker.engine.request import Request
from worker.model.tokenizer import PromptTokenizer

QUESTIONS = 12
"""Questions: enough for a pack that FlexAttention does not leave to SDPA."""

_PARAPHRASES, _EXAMPLES, _TOKENS = 3, 1, 4

WORKLOAD = Workload(paraphrases=_PARAPHRASES, examples=_EXAMPLES, max_new_tokens=_TOKENS)
"""Small, because the reference is slow."""


def checked_questions() -> list[Sample]:
    return [Sample(q.paraphrases[:_PARAPHRASES]) for q in many_questions(QUESTIONS)]


class ReferenceAnswers:
    """Answers of the reference. Equal prompts of two methods or layouts are computed once."""

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
        self._model = model
        self._tokenizer = PromptTokenizer(tokenizer)
        self._known: dict[object, CheckedAnswer] = {}

    def answers(self, request: Request) -> CheckedAnswers:
        """Answer all questions by every method; nothing ends an answer early."""
        return {
            (method.name, number, answer): self._decoded(prompts, method)
            for method in request.methods
            for number, question in enumerate(checked_questions())
            for answer, prompts in enumerate(self._prompts(question, method, request))
        }

    def _prompts(
        self, question: Sample, method: Method, request: Request
    ) -> list[list[PackedPrompt]]:
        pieces = self._tokenizer.cut(request.prompt_format, question.paraphrases)
        return reference_prompts(pieces, method, request.layout, request.positions)

    def _decoded(self, prompts: list[PackedPrompt], method: Method) -> CheckedAnswer:
        fusion = method.fusion if len(prompts) > 1 else "own"
        key = (*prompts, fusion, method.visibility, method.length_corrected)
        if key not in self._known:
            steps: list[Tensor] = []
            decoded = reference_decode(
                self._model, prompts, method, EndRules(stop=()), (), _TOKENS, steps=steps
            )
            self._known[key] = CheckedAnswer(decoded.tokens, torch.stack(steps))
        return self._known[key]


def kept_answers(
    scratch: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
) -> dict[Layout, CheckedAnswers]:
    """Read the reference's answers in every layout from the folder; compute them if missing."""
    file = scratch / "reference.safetensors"
    if not file.exists():
        reference = ReferenceAnswers(model, tokenizer)
        save_file(
            {
                "/".join((layout, *map(str, place), part)): tensor
                for layout in get_args(Layout)
                for place, answer in reference.answers(request_in(layout)).items()
                for part, tensor in _tensors(answer).items()
            },
            file,
        )
    return _read(file)


def request_in(layout: Layout) -> Request:
    """Request of all checked methods, in one layout."""
    return replace(WORKLOAD, layout=layout).request(*METHODS)


def _tensors(answer: CheckedAnswer) -> dict[str, Tensor]:
    # Clone: equal answers share memory, which safetensors refuses.
    return {"tokens": torch.tensor(answer.tokens), "logits": answer.logits.clone()}


def _read(file: Path) -> dict[Layout, CheckedAnswers]:
    tensors = load_file(file)
    answers: dict[Layout, dict[tuple[str, int, int], CheckedAnswer]] = {
        layout: {} for layout in get_args(Layout)
    }
    for name in tensors:
        layout, method, question, answer, part = name.split("/")
        if part == "logits":
            tokens = tensors[name.removesuffix("logits") + "tokens"]
            checked = CheckedAnswer(tuple(tokens.tolist()), tensors[name])
            answers[layout][method, int(question), int(answer)] = checked  # type: ignore[index]
    return dict(answers)
