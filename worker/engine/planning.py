"""Planning a request: samples -> tokens -> one SamplePlan each."""

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
    drop_too_long,
    plan_sample,
    readable_methods,
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
    """Plan each sample. All samples are tokenized in one call, which uses all cores.

    length_fault: why the model cannot answer a prompt of some length
    (`ModelGeometry.length_fault`). num_ids: the model takes token ids below this number.
    """
    readable = [readable_methods(sample, request) for sample in samples]
    paraphrases = [
        _paraphrases_read(sample, methods, request)
        for sample, (methods, _) in zip(samples, readable, strict=True)
    ]
    prompts = tokenizer.pieces_of(paraphrases, request.template, request.few_shot)
    plans = []
    for sample, (methods, errors), tokens in zip(samples, readable, prompts, strict=True):
        if fault := _unknown_token(tokens, num_ids):
            unread = {method.name: SampleError(fault) for method in methods}
            plans.append(SamplePlan({}, {**unread, **errors}))
            continue
        plan = plan_sample(tokens, replace(request, methods=methods), splitter, sample)
        plans.append(drop_too_long(plan, errors, request.max_new_tokens, length_fault))
    return plans


def _unknown_token(pieces: PromptTokens, num_ids: int) -> str | None:
    """Return why the model cannot read a sample's tokens; None if it can."""
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
    """Return the paraphrases that at least one of the methods reads."""
    needed = max((m.num_read(request.num_paraphrases) for m in methods), default=0)
    return tuple(sample.paraphrases[:needed])
