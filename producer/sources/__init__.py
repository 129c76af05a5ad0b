"""Sources: one file per data set, found by name.

A source module has `open_source() -> Source`. With `--data FILE` any name may be given: the
file is the source and the name a label.
"""

import importlib
import pkgutil
from pathlib import Path

from common.errors import UsageError
from producer.sources.files import read_questions
from producer.sources.selection import Selection
from producer.sources.source import Source, file_source

_NOT_SOURCES = {
    "files", "formats", "hub", "masked", "reading", "rows", "selection", "source",
}  # fmt: skip


def known_sources() -> list[str]:
    """Names of the data sets that come with the producer."""
    names = {module.name for module in pkgutil.iter_modules(__path__)}
    return sorted(names - _NOT_SOURCES)


def open_source(name: str, data: Path | None) -> Source:
    """The data set `name`, or the file given for it; raises UsageError for an unknown one."""
    known = known_sources()
    if name in known:
        source: Source = importlib.import_module(f"producer.sources.{name}").open_source()
        return source if data is None else source.over(data)
    if data is None:
        raise UsageError(
            f"--dataset {name!r} is not known ({', '.join(known)}); "
            "give its file with --data to use another"
        )
    return file_source(name, data)


__all__ = ["Selection", "Source", "known_sources", "open_source", "read_questions"]
