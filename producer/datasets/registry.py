"""The registry: a data set by its name, from `builtin/` or from another distribution.

A module of `builtin/` has a function `open_dataset() -> Dataset` and the name of its data set.
Other distributions bring data sets as entry points of the group `self_ensemble.datasets`: an entry
point has the name of the data set and points to such a function. Their code is imported when the
data set is opened, not before.

With `--data FILE`, `--dataset` may be any label. If it names a known data set, the file must have
that data set's columns. `docs/datasets.md` shows how to add one.
"""

import importlib
import pkgutil
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from common.errors import UsageError, described
from producer.datasets import builtin
from producer.datasets.dataset import Dataset, file_dataset

ENTRY_POINT_GROUP = "self_ensemble.datasets"


def known_datasets() -> list[str]:
    """Names of the data sets that come with the producer and with other distributions."""
    return sorted(_builtin_names() | _entry_point_names())


def open_dataset(name: str, data: Path | None) -> Dataset:
    """The data set `name`, with the rows of the file `data` if one is given.

    Raises UsageError for an unknown name without a file, a name that two distributions bring, and
    an entry point that cannot be opened.
    """
    dataset = _find(name)
    if dataset is not None:
        return dataset if data is None else dataset.with_file(data)
    if data is None:
        raise UsageError(
            f"--dataset {name!r} is not known ({', '.join(known_datasets())}); "
            "give its file with --data to use another"
        )
    return file_dataset(name, data)


def _find(name: str) -> Dataset | None:
    if name in _builtin_names():
        return _open_builtin(name)
    return _open_entry_point(name) if name in _entry_point_names() else None


def _builtin_names() -> set[str]:
    return {module.name for module in pkgutil.iter_modules(builtin.__path__)}


def _entry_point_names() -> set[str]:
    return set(entry_points(group=ENTRY_POINT_GROUP).names)


def _open_builtin(name: str) -> Dataset:
    """A data set of the producer; raises UsageError if a distribution brings one of this name."""
    for entry_point in entry_points(group=ENTRY_POINT_GROUP, name=name):
        raise UsageError(
            f"--dataset {name} comes with the producer, and {_origin(entry_point)} brings another "
            "of this name; uninstall it, or have it renamed"
        )
    module = importlib.import_module(f"{builtin.__name__}.{name}")
    dataset: Dataset = module.open_dataset()
    return dataset


def _open_entry_point(name: str) -> Dataset:
    """A data set of another distribution; raises UsageError if two bring it, or if it fails."""
    entry_point, *others = entry_points(group=ENTRY_POINT_GROUP, name=name)
    if others:
        raise UsageError(
            f"--dataset {name}: {' and '.join(map(_origin, (entry_point, *others)))} bring a data "
            "set of this name; uninstall all but one"
        )
    try:
        dataset = entry_point.load()()
    except Exception as error:
        # Code of others may raise anything; the message must name the distribution.
        reason = f"cannot be opened ({described(error)})"
        raise UsageError(_refusal(entry_point, reason)) from error
    if not isinstance(dataset, Dataset):
        raise UsageError(_refusal(entry_point, f"is no Dataset but {type(dataset).__name__}"))
    return dataset


def _refusal(entry_point: EntryPoint, reason: str) -> str:
    return (
        f"--dataset {entry_point.name} of {_origin(entry_point)} {reason}; its entry point is "
        f"{entry_point.value!r}, update it or uninstall it"
    )


def _origin(entry_point: EntryPoint) -> str:
    if entry_point.dist:
        return f"the distribution {entry_point.dist.name}"
    return f"the module {entry_point.module}"
