"""The registry: a data set by its name, from `builtin/` or from another distribution.

A module of `builtin/` has `open_dataset() -> Dataset` and is named like its data set. With
`--data FILE`, `--dataset` may be any label. If it names a known data set, the file must have that
data set's columns. `docs/datasets.md` shows how to add one.
"""

import importlib
import pkgutil
from pathlib import Path

from common.errors import UsageError
from producer.datasets import builtin
from producer.datasets.dataset import Dataset, file_dataset
from producer.datasets.plugins import open_plugin, plugin_names, refuse_clash


def known_datasets() -> list[str]:
    """Names of the data sets that come with the producer and with other distributions."""
    return sorted(_builtin_names() | plugin_names())


def open_dataset(name: str, data: Path | None) -> Dataset:
    """The data set `name`, or the file given for it; raises UsageError for an unknown one."""
    dataset = _named(name)
    if dataset is not None:
        return dataset if data is None else dataset.with_file(data)
    if data is None:
        raise UsageError(
            f"--dataset {name!r} is not known ({', '.join(known_datasets())}); "
            "give its file with --data to use another"
        )
    return file_dataset(name, data)


def _named(name: str) -> Dataset | None:
    if name in _builtin_names():
        refuse_clash(name)
        module = importlib.import_module(f"{builtin.__name__}.{name}")
        dataset: Dataset = module.open_dataset()
        return dataset
    return open_plugin(name) if name in plugin_names() else None


def _builtin_names() -> set[str]:
    return {module.name for module in pkgutil.iter_modules(builtin.__path__)}
