"""Enqueueing: what was asked -> frozen runs -> messages for what is missing.

Everything that can be refused is refused before a run is written or a message sent.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

from common.errors import UsageError
from common.messages import ShardMessage
from common.methods import METHODS, PARAPHRASES, get_method
from common.models import ModelSource, find_model
from common.planning.dependents import (
    create_dependents,
    create_with_dependents,
    delete_runs,
    has_result,
    note_dependents,
    result_samples,
)
from common.planning.plan import RunPlan, check_fingerprint, refuse_without_manual
from common.planning.sharding import messages_for
from common.records import Sample
from common.run import RunKey
from common.store import RunFolder, StoreFilesystem, open_run
from producer.datasets.stream import SampleStream
from producer.examples import choose_examples
from producer.provenance import make_provenance
from producer.request import RunRequest
from producer.run_plans import Planner
from producer.special_tokens import SpecialTokens
from producer.staleness import refuse_replaced_model


@dataclass(frozen=True)
class Prepared:
    """Runs that exist in the store, what is left to do for them, and what will follow.

    all_runs: also those that are made when another is merged. upstream: the run whose result
    they are made of, where it is none of them.
    """

    runs: tuple[RunFolder, ...]
    all_runs: tuple[RunFolder, ...]
    upstream: RunFolder | None
    model: ModelSource
    messages: tuple[ShardMessage, ...]
    notes: tuple[str, ...]


def prepare(request: RunRequest, store: StoreFilesystem) -> Prepared:
    """Freeze the runs that can begin, note those that follow, list the missing rows."""
    store.check_writable()
    model = find_model(request.model)
    examples, note = choose_examples(request, request.source)
    notes: tuple[str, ...] = (note,) if note else ()
    special = SpecialTokens(model)
    upstream = None if request.paraphrases is None else _written(request, store)
    if upstream is not None:
        _refuse_manual(request)
        by = upstream.key.model if upstream.key.model != model.slug else None
        roots = Planner(request, store, model, examples, False, by).roots()
        runs = _made_after(upstream, roots, request, store, special)
    else:
        alone = request.step == PARAPHRASES.name
        reading = SampleStream(request.source, request.selection, request.max_samples, alone)
        writes = not alone and _has_no_paraphrases(request)
        if writes:
            _refuse_manual(request)
        roots = Planner(request, store, model, examples, writes).roots()
        watched = special.watch(reading, lambda: reading.where)
        runs = _made(roots, watched, request, store, lambda: reading.where)
        notes += reading.notes
    notes += special.notes(request.source.template.prefix(examples))
    keys = dict.fromkeys(plan.key for root in roots for plan in root.all())
    all_runs = tuple(RunFolder(store, RunKey.parse(key)) for key in keys)
    # A step may have dependents of other requests, and of other models, whose queues are others.
    runs = [run for run in runs if str(run.key) in keys]
    messages = tuple(messages_for(runs, request.shard_size))
    return Prepared(tuple(runs), all_runs, upstream, model, messages, notes)


def _has_no_paraphrases(request: RunRequest) -> bool:
    """Whether more paraphrases are asked for than the question, and the first one has no other."""
    if request.selection is not None or request.chosen_num_paraphrases == 1:
        return False
    first = list(SampleStream(request.source, None, 1))
    return bool(first) and len(first[0].paraphrases) == 1


def _refuse_manual(request: RunRequest) -> None:
    """Refuse methods that ask which paraphrases are manual, of paraphrases that a model writes."""
    for name in request.methods:
        refuse_without_manual(get_method(name))


def _written(request: RunRequest, store: StoreFilesystem) -> RunFolder:
    """The run that --paraphrases names; raises UsageError for one that cannot be used."""
    run = open_run(store, RunKey.parse(request.paraphrases or ""))
    if run.spec.method != PARAPHRASES.name:
        raise UsageError(
            f"--paraphrases {run.key} is a run of {run.spec.method}; name one of `producer "
            f"paraphrase`, such as {run.key.dataset}/{run.key.model}/paraphrases-5"
        )
    if run.spec.dataset != request.dataset:
        raise UsageError(
            f"--paraphrases {run.key} is of the data set {run.spec.dataset}, --dataset is "
            f"{request.dataset}"
        )
    if run.spec.num_paraphrases < request.chosen_num_paraphrases:
        raise UsageError(
            f"--paraphrases {run.key} has {run.spec.num_paraphrases} paraphrases of a question, "
            f"--num-paraphrases asks for {request.chosen_num_paraphrases}"
        )
    return run


def _made(
    roots: Sequence[RunPlan],
    samples: Iterable[Sample],
    request: RunRequest,
    store: StoreFilesystem,
    where: Callable[[], str],
) -> list[RunFolder]:
    """The runs that can begin."""
    dependents = [plan for root in roots for f in root.dependents for plan in f.all()]
    overwritten = _overwritten(roots, request)
    _refuse_replaced(roots, overwritten, request, store)
    _refuse_others(dependents, overwritten, store)
    provenance = make_provenance(request.shard_size)
    return create_with_dependents(store, roots, samples, provenance, overwritten, where)


def _made_after(
    upstream: RunFolder,
    roots: Sequence[RunPlan],
    request: RunRequest,
    store: StoreFilesystem,
    special: SpecialTokens,
) -> list[RunFolder]:
    """The runs made of another run's result, now or when it is merged."""
    if has_result(upstream):
        samples = islice(result_samples(upstream), request.max_samples)
        watched = special.watch(samples, lambda: str(upstream.key))
        return _made(roots, watched, request, store, lambda: str(upstream.key))
    if request.max_samples is not None:
        raise UsageError(
            f"--max-samples needs the result of --paraphrases {upstream.key}, which is not "
            "complete yet; leave it out, or wait"
        )
    overwritten = _overwritten(roots, request)
    _refuse_replaced(roots, overwritten, request, store)
    _refuse_others([plan for root in roots for plan in root.all()], overwritten, store)
    delete_runs(store, roots, overwritten)
    note_dependents(upstream, roots)
    return create_dependents(upstream)


def _overwritten(roots: Sequence[RunPlan], request: RunRequest) -> set[str]:
    """Keys of the runs to throw away; a step is never thrown away for others."""
    plans = [plan for root in roots for plan in root.all()] if request.overwrite else []
    return {p.key for p in plans if p.spec.method in METHODS or p.spec.method == request.step}


def _refuse_replaced(
    roots: Sequence[RunPlan],
    overwritten: Collection[str],
    request: RunRequest,
    store: StoreFilesystem,
) -> None:
    """Refuse runs that were answered with other files of the model's folder."""
    keys = [plan.key for root in roots for plan in root.all()]
    runs = [RunFolder(store, RunKey.parse(key)) for key in keys]
    refuse_replaced_model(find_model(request.model), runs, overwritten)


def _refuse_others(
    plans: Sequence[RunPlan], overwritten: Collection[str], store: StoreFilesystem
) -> None:
    """Refuse what is there with another spec under the names of runs that will follow."""
    for plan in plans:
        if plan.key not in overwritten:
            check_fingerprint(RunFolder(store, RunKey.parse(plan.key)), plan.spec)
