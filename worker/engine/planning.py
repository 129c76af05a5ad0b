"""Planning: samples -> prompts -> the ensembles that answer each sample, or why none can.

Methods that need equal ensembles share one, and ensembles share equal segments.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

from common.errors import SampleError
from common.layout import PackedPrompt, PromptTokens, pack_fused, pack_plain
from common.methods import Method
from common.records import Sample
from common.run import SamplingParams
from common.visibility import VISIBILITIES, Table, generate_isolated_visibility, length_bias
from worker.engine.ensembles import Draw, Ensemble, SamplePlan, seed_of
from worker.engine.readable import readable_methods
from worker.engine.request import Request
from worker.engine.segments import PrefixSplitter, SequencePlan, plan_sequence
from worker.model.geometry import ModelGeometry
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


def _paraphrases_read(
    sample: Sample, methods: Sequence[Method], request: Request
) -> tuple[str, ...]:
    """Return the paraphrases that at least one of the methods reads."""
    needed = max((m.num_read(request.num_paraphrases) for m in methods), default=0)
    return tuple(sample.paraphrases[:needed])


def plan_sample(
    tokenized: TokenizedSample, request: Request, splitter: PrefixSplitter, geometry: ModelGeometry
) -> SamplePlan:
    """Plan the ensembles of a sample; a method that the model cannot compute gets an error."""
    if fault := _unknown_token(tokenized.prompts, geometry.num_ids):
        unread = {method.name: SampleError(fault) for method in tokenized.methods}
        return SamplePlan({}, {**unread, **tokenized.errors})
    readable = replace(request, methods=tokenized.methods)
    plan = plan_ensembles(tokenized.prompts, readable, splitter, tokenized.sample)
    by_method, errors = {}, {**tokenized.errors, **plan.errors}
    for name, ensembles in plan.by_method.items():
        last = max(sequence.position for ensemble in ensembles for sequence in ensemble.sequences)
        if fault := geometry.length_fault(last, request.max_new_tokens):
            errors[name] = SampleError(fault)
        else:
            by_method[name] = ensembles
    return SamplePlan(by_method, errors)


def _unknown_token(prompts: PromptTokens, num_ids: int) -> str | None:
    """Return why the model cannot read a sample's tokens; None if it can."""
    largest = max((max(prompt) for prompt in prompts.prompts if prompt), default=0)
    if largest < num_ids:
        return None
    return (
        f"its prompt has token id {largest}, the model takes ids below {num_ids}: the tokenizer "
        "is another model's, or was given tokens that the model was not"
    )


def plan_ensembles(
    prompts: PromptTokens,
    request: Request,
    splitter: PrefixSplitter,
    sample: Sample | None = None,
) -> SamplePlan:
    """Plan the ensembles of every requested method, whatever their length."""
    sample = sample or Sample(())
    single = generate_isolated_visibility(1)

    @cache
    def plan_plain(paraphrase: int) -> SequencePlan:
        return plan_sequence(pack_plain(prompts, paraphrase), single, splitter)

    by_method, errors = {}, {}
    for method in request.methods:
        try:
            if method.sequences == "fused":
                sequences = [_plan_fused(prompts, method, request, splitter, sample)]
            else:
                read = read_paraphrases(method, len(prompts.segments), sample)
                sequences = [plan_plain(paraphrase) for paraphrase in read]
            by_method[method.name] = _ensembles(sequences, method, request, sample)
        except SampleError as error:
            errors[method.name] = error
    return SamplePlan(by_method, errors)


def _plan_fused(
    prompts: PromptTokens,
    method: Method,
    request: Request,
    splitter: PrefixSplitter,
    sample: Sample,
) -> SequencePlan:
    """Plan the sequence that sees all paraphrases. Raises SampleError if it has no tail."""
    prompt = pack_fused(prompts, request.layout, request.positions)
    visible, bias = fused_tables(prompt, method, sample)
    return plan_sequence(prompt, visible, splitter, bias)


def fused_tables(
    prompt: PackedPrompt, method: Method, sample: Sample
) -> tuple[Table, list[float] | None]:
    """Return the visibility table of a packed prompt, and the bias of its tail's scores by group.

    The bias is None if every group counts as it is.
    """
    visible = VISIBILITIES[method.visibility](prompt.num_segments, sample.num_manual or 0)
    if not method.length_corrected or prompt.num_segments == 1:
        return visible, None
    return visible, length_bias([len(group) for group in prompt.groups]).tolist()


def read_paraphrases(method: Method, num_paraphrases: int, sample: Sample) -> list[int]:
    """Return the indices of the paraphrases that a method decodes, one sequence for each.

    Of several paraphrases with the highest confidence, `most_confident` takes the first.
    """
    if method.sequences == "first":
        return [0]
    if method.sequences == "most_confident":
        confidences = (sample.confidences or ())[:num_paraphrases]
        return [max(range(num_paraphrases), key=confidences.__getitem__)]
    return list(range(num_paraphrases))


def _ensembles(
    sequences: Sequence[SequencePlan], method: Method, request: Request, sample: Sample
) -> tuple[Ensemble, ...]:
    if method.fusion not in ("own", "vote") and len(sequences) > 1:
        reads = method.fusion == "weighted_mean"
        weights = (sample.confidences or ())[: len(sequences)] if reads else None
        return (Ensemble(tuple(sequences), method.fusion, weights),)
    ensembles: list[Ensemble] = []
    for i, sequence in enumerate(sequences):
        if method.draws != "only":
            ensembles.append(Ensemble((sequence,), "own"))
        if method.draws != "no" and request.sampling:
            ensembles += _drawn(sequence, f"{sample.uuid}/{i}", request.sampling)
    return tuple(ensembles)


def _drawn(sequence: SequencePlan, name: str, sampling: SamplingParams) -> list[Ensemble]:
    """Return one ensemble for each draw from a sequence; all of them read one prefill."""
    return [
        Ensemble((sequence,), "own", draw=Draw(sampling, seed_of(name, number)))
        for number in range(sampling.num_draws)
    ]
