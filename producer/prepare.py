"""Prepare a request: create its runs in the store and list messages for their missing rows.

Whatever can be refused is refused before a run is created or a message is sent.
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
    merge_if_complete,
    note_dependents,
    outdated_dependents,
    result_samples,
)
from common.planning.plan import (
    RunPlan,
    check_fingerprint,
    overwrite_option,
    refuse_without_manual,
)
from common.planning.sharding import messages_for
from common.records import Sample
from common.run import RunKey
from common.store import RunFolder, StoreFilesystem, open_run
from producer.datasets.stream import SampleStream
from producer.examples import choose_examples
from producer.prompt_notes import prompt_notes
from producer.provenance import make_provenance
from producer.request import RunRequest
from producer.run_plans import Planner
from producer.special_tokens import SpecialTokens
from producer.staleness import refuse_replaced_model


@dataclass(frozen=True)
class Prepared:
    """The runs of a request, and the messages for their missing rows.

    runs: the runs that exist in the store. all_runs: these and the dependent runs, which are
    created when the run they wait for is merged. upstream: the run that --paraphrases names, on
    which all runs depend; None without that option. notes: sentences to show to the user.
    """

    runs: tuple[RunFolder, ...]
    all_runs: tuple[RunFolder, ...]
    upstream: RunFolder | None
    model: ModelSource
    messages: tuple[ShardMessage, ...]
    notes: tuple[str, ...]


def prepare(request: RunRequest, store: StoreFilesystem) -> Prepared:
    """Create the runs that can start now and note their dependents beside them.

    Raises UsageError for a request that cannot be carried out; no run is changed then.
    """
    store.check_writable()
    model = find_model(request.model, request.revision)
    notes = prompt_notes(request, model)
    examples, note = choose_examples(request, request.opened_dataset)
    notes += (note,) if note else ()
    special = SpecialTokens.read(model)
    upstream = None if request.paraphrases is None else _open_upstream(request, store)
    if upstream is not None:
        _refuse_manual(request)
        writer = upstream.key.model if upstream.key.model != model.slug else None
        plans = Planner(request, store, model, examples, False, writer).plan_runs()
        runs = _create_from_upstream(upstream, plans, request, store, special)
    else:
        only_questions = request.step == PARAPHRASES.name
        samples = SampleStream(
            request.opened_dataset, request.selection, request.max_samples, only_questions
        )
        write_paraphrases = not only_questions and _has_no_paraphrases(request)
        if write_paraphrases:
            _refuse_manual(request)
        plans = Planner(request, store, model, examples, write_paraphrases).plan_runs()
        watched = special.watch(samples, lambda: samples.where)
        runs = _create(plans, watched, request, store, lambda: samples.where)
        notes += samples.notes
    template = request.chosen_template
    notes += special.notes(f"{template.prefix(examples)}{template.question}{template.cue}")
    keys = dict.fromkeys(plan.key for plan in _with_dependents(plans))
    all_runs = tuple(RunFolder(store, RunKey.parse(key)) for key in keys)
    # A step may have dependents of other requests, even of models that have other queues.
    runs = [run for run in runs if str(run.key) in keys]
    notes += _notes_of_outdated(runs if upstream is None else [upstream, *runs], keys)
    messages = tuple(messages_for(runs, request.shard_size))
    return Prepared(tuple(runs), all_runs, upstream, model, messages, notes)


def _notes_of_outdated(runs: Iterable[RunFolder], asked: Collection[str]) -> tuple[str, ...]:
    """A sentence for each run asked for that was made before the run it depends on changed."""
    return tuple(
        f"{old.key} was made from the result of {run.key} before that was retried; give "
        f"{overwrite_option(old.spec.method)} to make it anew"
        for run in runs
        for old in outdated_dependents(run)
        if str(old.key) in asked
    )


def _has_no_paraphrases(request: RunRequest) -> bool:
    """Whether the request needs paraphrases and the first question of the data set has none."""
    if request.selection is not None or request.chosen_num_paraphrases == 1:
        return False
    first = list(SampleStream(request.opened_dataset, None, 1))
    return bool(first) and len(first[0].paraphrases) == 1


def _refuse_manual(request: RunRequest) -> None:
    """Raise UsageError for methods that need manual paraphrases: a model writes these ones."""
    for name in request.methods:
        refuse_without_manual(get_method(name))


def _open_upstream(request: RunRequest, store: StoreFilesystem) -> RunFolder:
    """Open the run that --paraphrases names; raises UsageError if the request cannot use it."""
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


def _create(
    plans: Sequence[RunPlan],
    samples: Iterable[Sample],
    request: RunRequest,
    store: StoreFilesystem,
    where: Callable[[], str],
) -> list[RunFolder]:
    """Create the planned runs from samples; where: names the row that is being read."""
    dependents = _with_dependents(later for plan in plans for later in plan.dependents)
    overwritten = _overwritten_keys(plans, request)
    _refuse_replaced(plans, overwritten, request, store)
    _refuse_other_specs(dependents, overwritten, store)
    provenance = make_provenance(request.shard_size)
    return create_with_dependents(store, plans, samples, provenance, overwritten, where)


def _create_from_upstream(
    upstream: RunFolder,
    plans: Sequence[RunPlan],
    request: RunRequest,
    store: StoreFilesystem,
    special: SpecialTokens,
) -> list[RunFolder]:
    """Create the planned runs from the result of `upstream`, or note them until it is merged."""
    if merge_if_complete(upstream):
        samples = islice(result_samples(upstream), request.max_samples)
        watched = special.watch(samples, lambda: str(upstream.key))
        return _create(plans, watched, request, store, lambda: str(upstream.key))
    if request.max_samples is not None:
        raise UsageError(
            f"--max-samples needs the result of --paraphrases {upstream.key}, which is not "
            "complete yet; leave it out, or wait"
        )
    overwritten = _overwritten_keys(plans, request)
    _refuse_replaced(plans, overwritten, request, store)
    _refuse_other_specs(_with_dependents(plans), overwritten, store)
    delete_runs(store, plans, overwritten)
    note_dependents(upstream, plans)
    return create_dependents(upstream)


def _with_dependents(plans: Iterable[RunPlan]) -> list[RunPlan]:
    """The plans and all their dependents, depth first."""
    return [each for plan in plans for each in plan.all()]


def _overwritten_keys(plans: Sequence[RunPlan], request: RunRequest) -> set[str]:
    """Keys of the runs to delete. Only its own command deletes a step: other runs may need it."""
    deletable = (*METHODS, request.step) if request.overwrite else ()
    return {p.key for p in _with_dependents(plans) if p.spec.method in deletable}


def _refuse_replaced(
    plans: Sequence[RunPlan],
    overwritten: Collection[str],
    request: RunRequest,
    store: StoreFilesystem,
) -> None:
    """Raise UsageError if the model's files have changed since one of the runs was answered."""
    runs = [RunFolder(store, RunKey.parse(plan.key)) for plan in _with_dependents(plans)]
    model = find_model(request.model, request.revision)
    refuse_replaced_model(model, runs, overwritten)


def _refuse_other_specs(
    plans: Sequence[RunPlan], overwritten: Collection[str], store: StoreFilesystem
) -> None:
    """Raise UsageError for a planned run that exists with another spec."""
    for plan in plans:
        if plan.key not in overwritten:
            check_fingerprint(RunFolder(store, RunKey.parse(plan.key)), plan.spec)
