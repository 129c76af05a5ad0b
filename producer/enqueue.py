"""Enqueueing: what was asked -> frozen runs -> messages for what is missing.

Everything that can be refused is refused before a run is written or a message sent.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

from common.errors import UsageError
from common.messages import ShardMessage
from common.methods import PARAPHRASES, get_method
from common.models import ModelSource, find_model
from common.planned import Planned
from common.run import RunKey
from common.schema import Sample
from common.store import Location, Run, open_run
from common.store.follow import follow, make_runs, plan_followers, result_samples
from common.store.freeze import refuse_other_than_frozen
from common.store.missing import messages_for
from producer.examples import choose_examples
from producer.planning import Planner
from producer.provenance import make_provenance
from producer.request import EnqueueRequest
from producer.sources.reading import Reading


@dataclass(frozen=True)
class Prepared:
    """Runs that exist in the store, what is left to do for them, and what will follow.

    all_runs: also those that are made when another is merged.
    """

    runs: tuple[Run, ...]
    all_runs: tuple[Run, ...]
    model: ModelSource
    messages: tuple[ShardMessage, ...]
    notes: tuple[str, ...]


def prepare(request: EnqueueRequest, location: Location) -> Prepared:
    """Freeze the runs that can begin, note those that follow, list the missing rows."""
    location.check_writable()
    model = find_model(request.model)
    examples, note = choose_examples(request, request.source)
    notes: tuple[str, ...] = (note,) if note else ()
    if request.paraphrases is not None:
        upstream = _written(request, location)
        by = upstream.key.model if upstream.key.model != model.slug else None
        roots = Planner(request, location, model, examples, False, by).roots()
        runs = _made_after(upstream, roots, request, location)
    else:
        reading = Reading(request.source, request.selection, request.max_samples)
        writes = request.step is None or request.step != PARAPHRASES.name
        writes = writes and _has_no_wordings(request)
        roots = Planner(request, location, model, examples, writes).roots()
        runs = _made(roots, reading, request, location, lambda: reading.where)
        notes += reading.notes
    keys = dict.fromkeys(plan.key for root in roots for plan in root.all())
    all_runs = tuple(Run(location, RunKey.parse(key)) for key in keys)
    return Prepared(tuple(runs), all_runs, model, tuple(messages_for(runs)), notes)


def _has_no_wordings(request: EnqueueRequest) -> bool:
    """Whether more wordings are asked for than the question, and the first one has no other."""
    if request.selection is not None or request.num_wordings == 1:
        return False
    first = list(Reading(request.source, None, 1))
    return bool(first) and len(first[0].paraphrases) == 1


def _written(request: EnqueueRequest, location: Location) -> Run:
    """The run that --paraphrases names; raises UsageError for one that cannot be used."""
    run = open_run(location, RunKey.parse(request.paraphrases or ""))
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
    if run.spec.num_paraphrases < request.num_wordings:
        raise UsageError(
            f"--paraphrases {run.key} has {run.spec.num_paraphrases} wordings of a question, "
            f"--num-paraphrases asks for {request.num_wordings}"
        )
    return run


def _made(
    roots: Sequence[Planned],
    samples: Iterable[Sample],
    request: EnqueueRequest,
    location: Location,
    where: Callable[[], str],
) -> list[Run]:
    """The runs that can begin; a step that is there already is never thrown away for others."""
    followers = [plan for root in roots for f in root.followers for plan in f.all()]
    _make_way(followers, request, location)
    kept = [root for root in roots if _is_step(root) and root.spec.method != request.step]
    provenance = make_provenance(request.shard_size)
    overwritten = [root.key for root in roots if root not in kept] if request.overwrite else []
    return make_runs(location, roots, samples, provenance, overwritten, where)


def _made_after(
    upstream: Run, roots: Sequence[Planned], request: EnqueueRequest, location: Location
) -> list[Run]:
    """The runs made of another run's result, now or when it is merged."""
    if upstream.location.exists(upstream.feather):
        samples = islice(result_samples(upstream), request.max_samples)
        return _made(roots, samples, request, location, lambda: str(upstream.key))
    if request.max_samples is not None:
        raise UsageError(
            f"--max-samples needs the result of --paraphrases {upstream.key}, which is not "
            "merged yet; leave it out, or wait"
        )
    _make_way([plan for root in roots for plan in root.all()], request, location)
    plan_followers(upstream, roots)
    return follow(upstream)


def _make_way(plans: Sequence[Planned], request: EnqueueRequest, location: Location) -> None:
    """Throw away, or refuse, what is there under the names of runs that will follow."""
    for plan in plans:
        run = Run(location, RunKey.parse(plan.key))
        if request.overwrite and not _is_step(plan):
            run.delete()
        refuse_other_than_frozen(run, plan.spec)


def _is_step(plan: Planned) -> bool:
    return get_method(plan.spec.method).draws != "no"
