"""A request -> the plans of its samples: what each method reads, as tokens, as streams."""

from collections.abc import Sequence
from dataclasses import replace

from common.methods import Method
from worker.engine.plan import Cutter
from worker.engine.request import Question, Request
from worker.engine.sample import (
    LengthFault,
    SamplePlan,
    plan_sample,
    readable_methods,
    without_too_long,
)
from worker.engine.tokenise import PromptTokenizer


def plan_samples(
    questions: Sequence[Question],
    request: Request,
    tokenizer: PromptTokenizer,
    cutter: Cutter,
    length_fault: LengthFault,
) -> list[SamplePlan]:
    """The plan of each question. All are tokenised in one call, which uses all cores.

    length_fault: why a model cannot answer a prompt that long (`ModelGeometry.length_fault`).
    """
    readable = [readable_methods(question, request) for question in questions]
    wordings = [
        _wordings_read(question, able, request)
        for question, (able, _) in zip(questions, readable, strict=True)
    ]
    pieces = tokenizer.pieces_of(wordings, request.template, request.few_shot)
    plans = []
    for question, (able, errors), its in zip(questions, readable, pieces, strict=True):
        plan = plan_sample(its, replace(request, methods=able), cutter, question)
        plans.append(without_too_long(plan, errors, request.max_new_tokens, length_fault))
    return plans


def _wordings_read(
    question: Question, methods: Sequence[Method], request: Request
) -> tuple[str, ...]:
    """The wordings that some method reads; none where no method can."""
    needed = max((m.num_wordings(request.num_wordings) for m in methods), default=0)
    return tuple(question.wordings[:needed])
