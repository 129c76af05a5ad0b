"""A request -> the plans of its samples: what each method reads, as tokens, as sequences."""

from collections.abc import Sequence
from dataclasses import replace

from common.errors import SampleError
from common.layout import PromptTokens
from common.methods import Method
from common.records import Sample
from worker.engine.plan import PrefixSplitter
from worker.engine.request import Request
from worker.engine.sample import (
    LengthFault,
    SamplePlan,
    plan_sample,
    readable_methods,
    without_too_long,
)
from worker.model.tokenizer import PromptTokenizer


def plan_samples(
    samples: Sequence[Sample],
    request: Request,
    tokenizer: PromptTokenizer,
    splitter: PrefixSplitter,
    length_fault: LengthFault,
    num_ids: int,
) -> list[SamplePlan]:
    """Plan each sample. All are tokenized in one call, which uses all cores.

    length_fault: why a model cannot answer a prompt that long (`ModelGeometry.length_fault`).
    num_ids: token ids that it takes.
    """
    readable = [readable_methods(sample, request) for sample in samples]
    paraphrases = [
        _paraphrases_read(sample, able, request)
        for sample, (able, _) in zip(samples, readable, strict=True)
    ]
    pieces = tokenizer.pieces_of(paraphrases, request.template, request.few_shot)
    plans = []
    for sample, (able, errors), its in zip(samples, readable, pieces, strict=True):
        if fault := _unknown_token(its, num_ids):
            unread = {method.name: SampleError(fault) for method in able}
            plans.append(SamplePlan({}, {**unread, **errors}))
            continue
        plan = plan_sample(its, replace(request, methods=able), splitter, sample)
        plans.append(without_too_long(plan, errors, request.max_new_tokens, length_fault))
    return plans


def _unknown_token(pieces: PromptTokens, num_ids: int) -> str | None:
    """Why a model cannot read the tokens of a sample; None where it can."""
    runs = (pieces.bos, pieces.prefix, *pieces.segments, pieces.cue, *pieces.prompts)
    largest = max((max(run) for run in runs if run), default=0)
    if largest < num_ids:
        return None
    return (
        f"its prompt has token id {largest}, the model takes ids below {num_ids}: the tokenizer "
        "is another model's, or was given tokens that the model was not"
    )


def _paraphrases_read(
    sample: Sample, methods: Sequence[Method], request: Request
) -> tuple[str, ...]:
    """The paraphrases that some method reads; none where no method can."""
    needed = max((m.num_read(request.num_paraphrases) for m in methods), default=0)
    return tuple(sample.paraphrases[:needed])
