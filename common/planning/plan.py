"""Plans of runs, and how plans and samples become runs in the store: all of them or none."""

import json
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

from pydantic import BaseModel, ConfigDict

from common.errors import UsageError
from common.methods import CONFIDENCE, PARAPHRASES, Method, get_method
from common.records import Sample
from common.run import RunKey, RunSpec
from common.store.filesystem import StoreFilesystem
from common.store.runs import RunFolder
from common.store.snapshot import SnapshotWriter


class RunPlan(BaseModel):
    """A run before its samples are known.

    spec: `dataset_sha256` and `num_samples` are placeholders until the snapshot is written.
    from_selection: questions may have fewer paraphrases than `spec.num_paraphrases`.
    dependents: runs whose samples are the result of this run.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    spec: RunSpec
    from_selection: bool = False
    dependents: tuple["RunPlan", ...] = ()

    def all(self) -> Iterator["RunPlan"]:
        """Yield this plan, then its dependents, depth first."""
        yield self
        for dependent in self.dependents:
            yield from dependent.all()


_OF_STEP = {
    PARAPHRASES.name: " to `producer paraphrase`",
    CONFIDENCE.name: " to `producer confidence`",
}
"""`enqueue --overwrite` keeps preparatory runs, because other runs may depend on them."""


def create_runs(
    store: StoreFilesystem,
    plans: Sequence[RunPlan],
    samples: Iterable[Sample],
    provenance: dict[str, Any],
    overwrite: Collection[str] = (),
    describe_row: Callable[[], str] = lambda: "its row",
) -> list[RunFolder]:
    """Write every snapshot in one pass over the samples, check all runs, then create them.

    A run that exists with the same spec is left as it is. Runs whose keys are in `overwrite`
    are deleted first. describe_row: names the row that is being read, for error messages.

    Raises UsageError for a run that exists with another spec, and for a sample that lacks
    something that the run's method reads.
    """
    with ExitStack() as staging:
        writers = [SnapshotWriter(store, f".staging/{uuid.uuid4().hex}.arrow") for _ in plans]
        for writer in writers:
            staging.callback(store.delete, writer.path)
        _write(plans, writers, samples, describe_row)
        runs = [RunFolder(store, RunKey.parse(plan.key)) for plan in plans]
        specs = [_complete(p.spec, w) for p, w in zip(plans, writers, strict=True)]
        for plan, run, spec in zip(plans, runs, specs, strict=True):
            if plan.key not in overwrite:
                _refuse_other_spec(run, spec)
        for plan, run, spec, writer in zip(plans, runs, specs, writers, strict=True):
            _begin(run, spec, writer.path, provenance, plan.key in overwrite)
    return [RunFolder(store, run.key) for run in runs]


def _begin(
    run: RunFolder, spec: RunSpec, snapshot: str, provenance: dict[str, Any], overwrite: bool
) -> None:
    """Create a run, unless it exists: others may create and answer the run at the same moment.

    Raises UsageError if it exists by now with another spec.
    """
    if overwrite:
        run.set_aside()
    while overwrite or not run.exists():
        if run.create(spec, snapshot, provenance):
            RunFolder(run.store, run.key).delete_result_of_another()
            break
        if overwrite:
            run.set_aside()
        elif not run.exists():
            run.set_leftovers_aside()
    else:
        _refuse_other_spec(RunFolder(run.store, run.key), spec)
    run.sweep()


def _write(
    plans: Sequence[RunPlan],
    writers: Sequence[SnapshotWriter],
    samples: Iterable[Sample],
    describe_row: Callable[[], str],
) -> None:
    with ExitStack() as files:
        for writer in writers:
            files.enter_context(writer)
        for sample in samples:
            for plan, writer in zip(plans, writers, strict=True):
                try:
                    writer.add(project_sample(sample, plan))
                except UsageError as error:
                    raise UsageError(f"{describe_row()}: {error}") from None


def _complete(spec: RunSpec, writer: SnapshotWriter) -> RunSpec:
    return spec.model_copy(
        update={"dataset_sha256": writer.sha256, "num_samples": writer.num_samples}
    )


def project_sample(sample: Sample, plan: RunPlan) -> Sample:
    """Keep the fields of a sample that the planned run reads.

    Raises UsageError if the sample has too few paraphrases, or lacks a field.
    """
    method, has = get_method(plan.spec.method), len(sample.paraphrases)
    wanted = method.num_read(plan.spec.num_paraphrases)
    if has < wanted and not plan.from_selection:
        raise UsageError(
            f"{method.name} was asked for {wanted} paraphrases "
            f"(--num-paraphrases), the question has {has} in all; give a data set with "
            "paraphrases, or ask for fewer"
        )
    if method == PARAPHRASES and has > 1:
        raise UsageError(
            f"the question has {has} paraphrases already, and they are written only for data that "
            "have none; give every question its paraphrases, or none"
        )
    _refuse_unknown(method, sample)
    manual = None if sample.num_manual is None else min(sample.num_manual, wanted)
    confidences = sample.confidences if method.reads_confidences else None
    return Sample(
        sample.paraphrases[:wanted],
        sample.answers,
        sample.uuid,
        manual,
        None if confidences is None else confidences[:wanted],
    )


def _refuse_unknown(method: Method, sample: Sample) -> None:
    if sample.num_manual is None:
        refuse_without_manual(method)
    if method.reads_confidences and sample.confidences is None:
        raise UsageError(f"{method.name} needs the result of a {CONFIDENCE.name} run")


def refuse_without_manual(method: Method) -> None:
    """Raise UsageError if the method has to know which paraphrases are manual."""
    if method.visibility == "cross_manual":
        raise UsageError(
            f"{method.name} needs a data set that tells manual paraphrases from "
            "automatic ones, such as myriadlama"
        )


def overwrite_option(method: str) -> str:
    """Return the option that deletes a run of this method, with its command."""
    return f"--overwrite{_OF_STEP.get(method, '')}"


def check_fingerprint(run: RunFolder, spec: RunSpec) -> None:
    """Raise UsageError if the run exists with another spec; the snapshot is not compared."""
    if run.exists():
        snapshot = run.spec.model_dump(include={"dataset_sha256", "num_samples"})
        _refuse_other_spec(run, spec.model_copy(update=snapshot))


def _refuse_other_spec(run: RunFolder, spec: RunSpec) -> None:
    if not run.exists() or run.spec.fingerprint == spec.fingerprint:
        return
    listed = "; ".join(
        f"{name} is {_short(old)} there and {_short(new)} here"
        for name, (old, new) in _by_part(run.spec.differences(spec)).items()
    )
    raise UsageError(
        f"run {run.key} exists with another fingerprint: {listed}. "
        f"Give {overwrite_option(spec.method)} to throw its results away and begin "
        "anew, or another --store"
    )


def _by_part(differences: dict[str, tuple[Any, Any]]) -> dict[str, tuple[Any, Any]]:
    """The differences, with those of a template key by key: `template.cue`."""
    parts: dict[str, tuple[Any, Any]] = {}
    for name, (old, new) in differences.items():
        if isinstance(old, dict) and isinstance(new, dict):
            keys = [key for key in old if old[key] != new[key]]
            parts |= {f"{name}.{key}": (old[key], new[key]) for key in keys}
        else:
            parts[name] = (old, new)
    return parts


def _short(value: Any) -> str:
    """At most 60 characters of a value. JSON for lists: `repr` would escape a newline twice."""
    is_list = isinstance(value, list)
    text = json.dumps(value, ensure_ascii=False) if is_list else str(value)
    text = text if len(text) <= 60 else f"{text[:57]}..."
    return text if is_list else repr(text)
