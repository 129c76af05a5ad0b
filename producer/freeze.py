"""Freezing: samples of a source -> runs in the store, one for each method, or none at all."""

import getpass
import os
import platform
import time
import uuid
from contextlib import ExitStack
from importlib.metadata import version
from typing import Any

from common.errors import UsageError
from common.methods import Method, get_method
from common.models import ModelSource
from common.prompts import Example
from common.run import RunSpec
from common.schema import Sample
from common.store import Location, Run
from common.store.runs import InputWriter
from producer.request import EnqueueRequest
from producer.sources.reading import Reading


def freeze(
    request: EnqueueRequest,
    location: Location,
    model: ModelSource,
    reading: Reading,
    examples: tuple[Example, ...],
    staging: ExitStack,
) -> list[Run]:
    """Write every run's samples aside in one pass, compare, and only then make the runs."""
    methods = [get_method(name) for name in dict.fromkeys(request.methods)]
    keys = [request.key(model, method, len(examples)) for method in methods]
    writers = [InputWriter(location, f".staging/{uuid.uuid4().hex}.arrow") for _ in methods]
    for writer in writers:
        staging.callback(location.delete, writer.path)
    with ExitStack() as files:
        for writer in writers:
            files.enter_context(writer)
        for sample in reading:
            for method, writer in zip(methods, writers, strict=True):
                writer.add(_narrowed(sample, method, request, reading.where))
    specs = [
        _spec(request, model, examples, method, writer)
        for method, writer in zip(methods, writers, strict=True)
    ]
    runs = [Run(location, key) for key in keys]
    fresh = [
        request.overwrite or not _is_same(run, spec) for run, spec in zip(runs, specs, strict=True)
    ]
    for run, spec, writer, new in zip(runs, specs, writers, fresh, strict=True):
        if new:
            run.delete()
            run.create(spec, writer.path, _provenance())
    return [Run(location, key) for key in keys]


def _narrowed(sample: Sample, method: Method, request: EnqueueRequest, where: str) -> Sample:
    wanted, has = method.num_wordings(request.num_wordings), len(sample.paraphrases)
    if has < wanted and request.selection is None:
        raise UsageError(
            f"{where}: {method.name} was asked for {wanted} wordings "
            f"(--num-paraphrases), the question has {has} in all; give a data set with "
            "paraphrases, or ask for fewer"
        )
    manual = None if sample.num_manual is None else min(sample.num_manual, wanted)
    return Sample(sample.uuid, sample.paraphrases[:wanted], sample.answers, manual)


def _spec(
    request: EnqueueRequest,
    model: ModelSource,
    examples: tuple[Example, ...],
    method: Method,
    writer: InputWriter,
) -> RunSpec:
    return RunSpec(
        dataset=request.dataset,
        dataset_sha256=writer.sha256,
        num_samples=writer.num_samples,
        model=model.location if model.kind == "directory" else request.model,
        model_source=model.location,
        method=method.name,
        num_paraphrases=method.num_wordings(request.num_wordings),
        layout=request.chosen_layout if method.has_layout else None,
        positions=request.chosen_positions if method.has_layout else None,
        template=request.source.template,
        few_shot=examples,
        max_new_tokens=request.token_limit,
        dtype=request.dtype,
    )


def _is_same(run: Run, spec: RunSpec) -> bool:
    """Whether the run exists with this very spec; raises UsageError if with another."""
    if not run.exists():
        return False
    differences = run.spec.differences(spec)
    if differences:
        listed = "; ".join(
            f"{name} is {_short(old)} there and {_short(new)} here"
            for name, (old, new) in differences.items()
        )
        raise UsageError(
            f"run {run.key} exists with another fingerprint: {listed}. "
            "Give --overwrite to throw its results away and begin anew, or another --store"
        )
    return True


def _short(value: Any) -> str:
    text = str(value)
    return repr(text if len(text) <= 60 else f"{text[:57]}...")


def _provenance() -> dict[str, Any]:
    return {
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "user": _user(),
        "host": platform.node(),
        "self_ensemble": version("self-ensemble"),
        "python": platform.python_version(),
    }


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container started with a bare number
        return str(os.getuid())
