"""Enqueueing: what was asked -> frozen runs -> messages for what is missing.

Everything that can be refused is refused before a run is written or a message sent.
"""

import getpass
import os
import platform
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import UsageError
from common.messages import ShardMessage
from common.methods import Method, get_method
from common.models import ModelSource, find_model
from common.prompts import Example
from common.run import DEFAULT_POSITIONS, DTypeName, Layout, Positions, RunKey, RunSpec, run_name
from common.schema import Sample
from common.store import Location, Run, missing_rows
from common.store.runs import InputWriter
from producer.sources import Source, open_source
from producer.sources.source import HubError, bundled_few_shot, few_shot_from


@dataclass(frozen=True)
class EnqueueRequest:
    """What the person asked for; one run for each method."""

    dataset: str
    data: Path | None
    few_shot: Path | None
    num_few_shot: int | None
    model: str
    methods: tuple[str, ...]
    num_paraphrases: int
    layout: Layout
    positions: Positions | None
    max_new_tokens: int
    max_samples: int | None
    shard_size: int
    dtype: DTypeName
    overwrite: bool


@dataclass(frozen=True)
class Prepared:
    """Runs that exist in the store, and what is left to do for them."""

    runs: tuple[Run, ...]
    model: ModelSource
    messages: tuple[ShardMessage, ...]
    notes: tuple[str, ...]


def prepare(request: EnqueueRequest, location: Location) -> Prepared:
    """Freeze the runs that do not exist yet and list the missing rows of all."""
    location.check_writable()
    model = find_model(request.model)
    source = open_source(request.dataset, request.data)
    examples, note = _few_shot(request, source)
    with ExitStack() as staging:
        runs = _freeze(request, location, model, source, examples, staging)
    messages = tuple(missing_messages(runs, request.shard_size))
    return Prepared(tuple(runs), model, messages, (note,) if note else ())


def _few_shot(request: EnqueueRequest, source: Source) -> tuple[tuple[Example, ...], str | None]:
    """The examples, and a sentence where they are not the ones the person would expect."""
    count = request.num_few_shot
    if request.few_shot is not None:
        examples = few_shot_from(request.few_shot, count)
        if count is not None and len(examples) < count:
            raise UsageError(
                f"--few-shot {request.few_shot} has {len(examples)} rows, "
                f"--num-few-shot asks for {count}"
            )
        return tuple(examples), None
    wanted = source.default_few_shot if count is None else count
    try:
        examples = source.few_shot(wanted) if wanted else []
        if len(examples) < wanted:
            raise UsageError(
                f"--num-few-shot asks for {wanted} examples, {source.few_shot_origin} are "
                f"{len(examples)}"
            )
        return tuple(examples), None
    except HubError as error:
        if count is not None or request.data is None:
            raise
        # Questions come from a file: the job can be done, with examples that are said aloud
        # and recorded in the fingerprint, so such a run is never mixed with another.
        return tuple(bundled_few_shot(wanted)), (
            f"few-shot examples: {wanted} bundled ones instead of {source.few_shot_origin}, "
            f"because {error}"
        )


def _freeze(
    request: EnqueueRequest,
    location: Location,
    model: ModelSource,
    source: Source,
    examples: tuple[Example, ...],
    staging: ExitStack,
) -> list[Run]:
    """Write every run's samples aside in one pass, compare, and only then make the runs."""
    methods = [get_method(name) for name in dict.fromkeys(request.methods)]
    keys = [_key(request, model, method) for method in methods]
    writers = [InputWriter(location, f".staging/{uuid.uuid4().hex}.arrow") for _ in methods]
    for writer in writers:
        staging.callback(location.delete, writer.path)
    with ExitStack() as files:
        for writer in writers:
            files.enter_context(writer)
        for row, sample in enumerate(islice(source.samples(), request.max_samples), start=1):
            for method, writer in zip(methods, writers, strict=True):
                writer.add(_narrowed(sample, method, request, row))
    specs = [
        _spec(request, model, source, examples, method, writer)
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


def _key(request: EnqueueRequest, model: ModelSource, method: Method) -> RunKey:
    positions = request.positions or DEFAULT_POSITIONS[request.layout]
    name = run_name(method.name, request.num_paraphrases, request.layout, positions)
    return RunKey(request.dataset, model.slug, name)


def _narrowed(sample: Sample, method: Method, request: EnqueueRequest, row: int) -> Sample:
    wanted, has = method.num_wordings(request.num_paraphrases), len(sample.paraphrases)
    if has < wanted:
        raise UsageError(
            f"{request.dataset}, row {row}: {method.name} was asked for {wanted} wordings "
            f"(--num-paraphrases), the question has {has} in all; give a data set with "
            "paraphrases, or ask for fewer"
        )
    return Sample(sample.uuid, sample.paraphrases[:wanted], sample.answers)


def _spec(
    request: EnqueueRequest,
    model: ModelSource,
    source: Source,
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
        num_paraphrases=method.num_wordings(request.num_paraphrases),
        layout=request.layout if method.has_layout else None,
        positions=(
            (request.positions or DEFAULT_POSITIONS[request.layout]) if method.has_layout else None
        ),
        template=source.template,
        few_shot=examples,
        max_new_tokens=request.max_new_tokens,
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


def missing_messages(runs: Sequence[Run], shard_size: int) -> Iterator[ShardMessage]:
    """Messages for every row that some run misses; rows missed by the same runs go together.

    >>> list(missing_messages([], 64))
    []
    """
    misses = np.zeros(runs[0].spec.num_samples if runs else 0, dtype=np.uint32)
    for bit, run in enumerate(runs):
        misses[missing_rows(run)] |= 1 << bit
    for pattern in sorted(set(np.unique(misses).tolist()) - {0}, reverse=True):
        names = [str(run.key) for bit, run in enumerate(runs) if pattern >> bit & 1]
        rows = np.flatnonzero(misses == pattern)
        for first in range(0, len(rows), shard_size):
            yield ShardMessage.of(names, rows[first : first + shard_size].tolist())
