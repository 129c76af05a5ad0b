"""One sample: its pieces and the methods asked for -> the ensembles that answer it.

Methods that ask for equal ensembles share one; ensembles that need equal segments share those.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from common.errors import SampleError
from common.layout import PackedPrompt, PromptTokens, pack_fused, pack_plain
from common.methods import Method
from common.records import Sample
from common.run import SamplingParams
from common.visibility import VISIBILITIES, Table, generate_isolated_visibility, length_bias
from worker.engine.decode import Generation
from worker.engine.ensembles import Ensemble
from worker.engine.plan import PrefixSplitter, SequencePlan, plan_sequence
from worker.engine.request import Request
from worker.engine.sampling import Draw, seed_of

LengthFault = Callable[[int, int], str | None]
"""The position of a prompt's last token and the most new tokens -> why that is too long."""

Answers = dict[str, list[Generation] | SampleError]
"""By method name: one Generation, or one for each paraphrase, or why there is none."""


@dataclass(frozen=True)
class SamplePlan:
    """For each method the ensembles that answer it, in paraphrase order, or why none can."""

    by_method: dict[str, tuple[Ensemble, ...]]
    errors: Mapping[str, SampleError] = field(default_factory=dict)

    @cached_property
    def ensembles(self) -> tuple[Ensemble, ...]:
        """Each once, whichever methods want it."""
        wanted = (e for ensembles in self.by_method.values() for e in ensembles)
        return tuple(dict.fromkeys(wanted))

    @property
    def sequences(self) -> list[SequencePlan]:
        return [sequence for ensemble in self.ensembles for sequence in ensemble.sequences]


def readable_methods(
    sample: Sample, request: Request
) -> tuple[tuple[Method, ...], dict[str, SampleError]]:
    """The methods that have all they read of this sample, and why the others have not.

    Method by method: what one of them cannot read must not cost another its answer, or a run
    would depend on what it was asked together with.
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


def without_too_long(
    plan: SamplePlan,
    errors: Mapping[str, SampleError],
    max_new_tokens: int,
    length_fault: LengthFault,
) -> SamplePlan:
    """The plan without methods whose sequences are longer than the model computes."""
    by_method, found = {}, dict(errors)
    for name, ensembles in plan.by_method.items():
        last = max(sequence.position for ensemble in ensembles for sequence in ensemble.sequences)
        fault = length_fault(last, max_new_tokens)
        if fault:
            found[name] = SampleError(fault)
        else:
            by_method[name] = ensembles
    return SamplePlan(by_method, found)


def plan_sample(
    pieces: PromptTokens,
    request: Request,
    splitter: PrefixSplitter,
    sample: Sample | None = None,
) -> SamplePlan:
    """The ensembles of one sample. Methods that ask for equal ensembles share one."""
    sample = sample or Sample(())
    n = len(pieces.prompts)
    single = generate_isolated_visibility(1)
    plain = [
        plan_sequence(pack_plain(pieces, i), single, splitter)
        for i in range(n if any(m.sequences != "fused" for m in request.methods) else 0)
    ]
    by_method = {}
    for method in request.methods:
        if method.sequences == "fused":
            prompt = pack_fused(pieces, request.layout, request.positions)
            visible, bias = fused_tables(prompt, method, sample)
            sequences = [plan_sequence(prompt, visible, splitter, bias)]
        else:
            sequences = [plain[i] for i in read_paraphrases(method, n, sample)]
        by_method[method.name] = _ensembles(sequences, method, request, sample)
    return SamplePlan(by_method)


def fused_tables(
    prompt: PackedPrompt, method: Method, sample: Sample
) -> tuple[Table, list[float] | None]:
    """Which group of a packed prompt sees which, and what its tail adds to its scores."""
    visible = VISIBILITIES[method.visibility](prompt.num_segments, sample.num_manual or 0)
    if not method.length_corrected or prompt.num_segments == 1:
        return visible, None
    return visible, length_bias([len(group) for group in prompt.groups]).tolist()


def read_paraphrases(method: Method, num_paraphrases: int, sample: Sample) -> list[int]:
    """The paraphrases that a method decodes in sequences of their own.

    Of paraphrases equally sure the first is taken.
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
    found: list[Ensemble] = []
    for i, sequence in enumerate(sequences):
        if method.draws != "only":
            found.append(Ensemble((sequence,), "own"))
        if method.draws != "no" and request.sampling:
            found += _drawn(sequence, f"{sample.uuid}/{i}", request.sampling)
    return tuple(found)


def _drawn(sequence: SequencePlan, name: str, sampling: SamplingParams) -> list[Ensemble]:
    """One sequence, drawn from anew for each sample: all of them read one prefill."""
    return [
        Ensemble((sequence,), "own", draw=Draw(sampling, seed_of(name, number)))
        for number in range(sampling.num_draws)
    ]


def collect(plan: SamplePlan, generated: Iterator[Generation]) -> Answers:
    """Take the plan's ensembles' results, in their order, and give each method its own."""
    of = {ensemble: next(generated) for ensemble in plan.ensembles}
    answers = {name: [of[e] for e in found] for name, found in plan.by_method.items()}
    return {**answers, **plan.errors}
