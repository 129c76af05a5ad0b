"""Detect whether the files of a local model changed since a run was answered.

Sizes and times are compared first and contents only if these differ, so neither `touch` nor a copy
on another host counts as a change. The worker pins hub models to a commit.
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
    """Raise UsageError if a run has answers from other weights than the folder now holds.

    A run that has no answers yet loses its pin instead. overwritten: keys of runs that will be
    deleted, which are not checked.
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
            raise UsageError(_describe_change(folder, run, names))
        else:
            run.forget_model()


def _was_answered_from(run: RunFolder, model: ModelSource) -> bool:
    """Whether the run was pinned to this folder, not to another folder of the same name."""
    return run.exists() and run.spec.model_source == model.location and bool(run.pinned_files())


def _describe_change(folder: Path, run: RunFolder, names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return (
        f"model folder {folder} has changed since run {run.key} was answered; what differs in "
        f"size or time is {', '.join(names[:3])}{more}. The answers in the store are those of the "
        f"files before. Give {overwrite_option(run.spec.method)} to throw them away and answer "
        "anew, put the old files back, or give the new ones a folder of another name"
    )
