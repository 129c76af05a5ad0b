"""Staleness: whether the files of a local model changed since a run was answered with them.

Sizes and times are compared first; where those differ contents are, so neither `touch` nor a copy
on another host is taken for a change. Hub models are pinned to a commit by the worker.
"""

from collections.abc import Collection, Iterable
from functools import cache
from pathlib import Path

from common.errors import UsageError
from common.model_files import differing, folder_identity, stamp_of
from common.models import ModelSource
from common.planning.plan import overwrite_option
from common.store import RunFolder, list_parts


def refuse_replaced_model(
    model: ModelSource, runs: Iterable[RunFolder], overwritten: Collection[str]
) -> None:
    """Raise UsageError where a run that would be shown, or gone on with, has other weights.

    overwritten: keys of runs that are thrown away. A run that has no answers yet is let go of
    its old weights.
    """
    if model.kind != "directory":
        return
    folder = Path(model.location)
    identity = cache(lambda: folder_identity(folder))
    for run in runs:
        if str(run.key) in overwritten or not _was_answered_from(run, model):
            continue
        names = differing(run.pinned_files(), stamp_of(folder))
        if not names:
            continue
        if identity() == run.pinned_model():
            run.note_model(identity(), stamp_of(folder))
        elif list_parts(run):
            raise UsageError(_has_changed(folder, run, names))
        else:
            run.forget_model()


def _was_answered_from(run: RunFolder, model: ModelSource) -> bool:
    """Whether files of this folder are noted, not of another one that has the same name."""
    return run.exists() and run.spec.model_source == model.location and bool(run.pinned_files())


def _has_changed(folder: Path, run: RunFolder, names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return (
        f"model folder {folder} has changed since run {run.key} was answered; what differs in "
        f"size or time is {', '.join(names[:3])}{more}. The answers in the store are those of the "
        f"files before. Give {overwrite_option(run.spec.method)} to throw them away and answer "
        "anew, put the old files back, or give the new ones a folder of another name"
    )
