"""Data sets of other distributions: entry points of the group `self_ensemble.datasets`.

An entry point's name is the data set's, its object a callable that returns a Dataset. Nothing
of another distribution is imported before its data set is asked for.
"""

from importlib.metadata import EntryPoint, entry_points

from common.errors import UsageError, first_line
from producer.datasets.dataset import Dataset

GROUP = "self_ensemble.datasets"


def plugin_names() -> set[str]:
    """Names of the data sets that installed distributions bring."""
    return set(entry_points(group=GROUP).names)


def open_plugin(name: str) -> Dataset:
    """The data set of that name; raises UsageError where two bring it, or it cannot be opened."""
    found = list(entry_points(group=GROUP, name=name))
    if len(found) > 1:
        raise UsageError(
            f"--dataset {name}: {' and '.join(map(_origin, found))} bring a data set of this "
            "name; uninstall all but one"
        )
    try:
        source = found[0].load()()
    except Exception as error:
        # Code of others: whatever it raises, the person must know whose it is.
        reason = f"{type(error).__name__}: {first_line(error)}"
        raise UsageError(_refusal(name, found[0], f"cannot be opened ({reason})")) from error
    if not isinstance(source, Dataset):
        raise UsageError(_refusal(name, found[0], f"is no Dataset but {type(source).__name__}"))
    return source


def refuse_clash(name: str) -> None:
    """Raise UsageError where a distribution brings a data set named like one of the producer's."""
    for found in entry_points(group=GROUP, name=name):
        raise UsageError(
            f"--dataset {name} comes with the producer, and {_origin(found)} brings another of "
            "this name; uninstall it, or have it renamed"
        )


def _refusal(name: str, found: EntryPoint, reason: str) -> str:
    return (
        f"--dataset {name} of {_origin(found)} {reason}; its entry point is "
        f"{found.value!r}, update it or uninstall it"
    )


def _origin(found: EntryPoint) -> str:
    return f"the distribution {found.dist.name}" if found.dist else f"the module {found.module}"
