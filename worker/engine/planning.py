"""Planning a request: samples -> tokens -> one SamplePlan each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from common.errors import SampleError
from common.layout import PromptTokens
from common.methods import Method
from common.records import Sample
from worker.engine.request import Request
from worker.engine.sample import (
    LengthFault,
    SamplePlan,
    drop_too_long,
    plan_sample,
    readable_methods,
)
from worker.engine.segments import PrefixSplitter
from worker.model.tokenizer import PromptTokenizer


@dataclass(frozen=True)
class TokenizedSample:
    """A sample, its prompts, the methods that can read it, and the errors of the others."""

    sample: Sample
    prompts: PromptTokens
    methods: tuple[Method, ...]
    errors: Mapping[str, SampleError]


def tokenize_samples(
    samples: Sequence[Sample], request: Request, tokenizer: PromptTokenizer
) -> list[TokenizedSample]:
    """Tokenize the prompts of all samples in one call, which uses all cores."""
    readable = [readable_methods(sample, request) for sample in samples]
    paraphrases = [
        _paraphrases_read(sample, methods, request)
        for sample, (methods, _) in zip(samples, readable, strict=True)
    ]
    prompts = tokenizer.cut_all(request.prompt_format, paraphrases)
    return [
        TokenizedSample(sample, each, methods, errors)
        for sample, each, (methods, errors) in zip(samples, prompts, readable, strict=True)
    ]


def plan_samples(
    samples: Sequence[TokenizedSample],
    request: Request,
    splitter: PrefixSplitter,
    length_fault: LengthFault,
    num_ids: int,
) -> list[SamplePlan]:
    """Plan each sample.

    length_fault: why the model cannot answer a prompt of some length
    (`ModelGeometry.length_fault`). num_ids: the model takes token ids below this number.
    """
    plans = []
    for each in samples:
        if fault := _unknown_token(each.prompts, num_ids):
            unread = {method.name: SampleError(fault) for method in each.methods}
            plans.append(SamplePlan({}, {**unread, **each.errors}))
            continue
        plan = plan_sample(
            each.prompts, replace(request, methods=each.methods), splitter, each.sample
        )
        plans.append(drop_too_long(plan, each.errors, request.max_new_tokens, length_fault))
    return plans


def _unknown_token(prompts: PromptTokens, num_ids: int) -> str | None:
    """Return why the model cannot read a sample's tokens; None if it can."""
    largest = max((max(prompt) for prompt in prompts.prompts if prompt), default=0)
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
