"""One sample: its prompt tokens and the requested methods -> the ensembles that answer it.

Methods that need equal ensembles share one, and ensembles that need equal segments share them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property

from common.errors import SampleError
from common.layout import PackedPrompt, PromptTokens, pack_fused, pack_plain
from common.methods import Method
from common.records import Sample
from common.run import SamplingParams
from common.visibility import VISIBILITIES, Table, generate_isolated_visibility, length_bias
from worker.engine.decode import Generation
from worker.engine.ensembles import Ensemble
from worker.engine.request import Request
from worker.engine.sampler import Draw, seed_of
from worker.engine.segments import PrefixSplitter, SequencePlan, plan_sequence

LengthFault = Callable[[int, int], str | None]
"""Position of a prompt's last token, maximum of new tokens -> why that is too long, or None."""

Answers = dict[str, list[Generation] | SampleError]
"""By method name: one Generation, or one for each paraphrase, or the error of that method."""


@dataclass(frozen=True)
class SamplePlan:
    """Ensembles of each method, in paraphrase order; errors: why a method has none."""

    by_method: dict[str, tuple[Ensemble, ...]]
    errors: Mapping[str, SampleError] = field(default_factory=dict)

    @cached_property
    def ensembles(self) -> tuple[Ensemble, ...]:
        """The distinct ensembles of all methods, in order."""
        ensembles = (e for ensembles in self.by_method.values() for e in ensembles)
        return tuple(dict.fromkeys(ensembles))

    @property
    def sequences(self) -> list[SequencePlan]:
        return [sequence for ensemble in self.ensembles for sequence in ensemble.sequences]


def readable_methods(
    sample: Sample, request: Request
) -> tuple[tuple[Method, ...], dict[str, SampleError]]:
    """Return the methods that can read this sample, and the errors of the others.

    Each method is judged alone: if a fault of one cost another its answer, the result of a run
    would depend on the methods it was requested with.
    """
    faults = {method.name: _fault(method, sample, request) for method in request.methods}
    errors = {name: SampleError(fault) for name, fault in faults.items() if fault}
    return tuple(m for m in request.methods if m.name not in errors), errors


def _fault(method: Method, sample: Sample, request: Request) -> str | None:
    paraphrases = sample.paraphrases[: method.num_read(request.num_paraphrases)]
    empty = [i for i, paraphrase in enumerate(paraphrases) if not paraphrase.strip()]
    if not paraphrases:
        return "it has no paraphrase"
    if empty:
        return f"paraphrase {empty[0]} is empty"
    if method.reads_confidences and len(sample.confidences or ()) < len(paraphrases):
        return f"it has {len(sample.confidences or ())} confidences, not {len(paraphrases)}"
    if method.visibility == "cross_manual" and sample.num_manual is None:
        return "it does not tell which paraphrases are manual"
    return None


def drop_too_long(
    plan: SamplePlan,
    errors: Mapping[str, SampleError],
    max_new_tokens: int,
    length_fault: LengthFault,
) -> SamplePlan:
    """Return the plan with an error for each method whose sequences are too long for the model."""
    by_method, all_errors = {}, {**errors, **plan.errors}
    for name, ensembles in plan.by_method.items():
        last = max(sequence.position for ensemble in ensembles for sequence in ensemble.sequences)
        fault = length_fault(last, max_new_tokens)
        if fault:
            all_errors[name] = SampleError(fault)
        else:
            by_method[name] = ensembles
    return SamplePlan(by_method, all_errors)


def plan_sample(
    prompts: PromptTokens,
    request: Request,
    splitter: PrefixSplitter,
    sample: Sample | None = None,
) -> SamplePlan:
    """Plan the ensembles of one sample. Methods that need equal ensembles share one."""
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


def collect(plan: SamplePlan, generations: Iterator[Generation]) -> Answers:
    """Take one generation for each ensemble of the plan, in order; return them by method."""
    by_ensemble = {ensemble: next(generations) for ensemble in plan.ensembles}
    answers = {
        name: [by_ensemble[ensemble] for ensemble in ensembles]
        for name, ensembles in plan.by_method.items()
    }
    return {**answers, **plan.errors}
