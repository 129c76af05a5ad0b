"""Sources: one file per data set, found by name, or an entry point of another distribution.

A source module has `open_source() -> Source`. With `--data FILE` any name may be given: the
file is the source and the name a label, unless it is the name of a data set, which then knows
how to read the file. `docs/datasets.md` shows how to add one.
"""

import importlib
import pkgutil
from pathlib import Path

from common.errors import UsageError
from producer.sources.files import read_questions
from producer.sources.plugins import open_plugin, plugin_names, refuse_clash
from producer.sources.selection import Selection
from producer.sources.source import Source, file_source

_NOT_SOURCES = {
    "columns", "compressed", "duplicates", "feather_v1", "files", "formats", "gold_answers", "hub",
    "masked", "plugins", "reading", "rows", "selection", "source", "tables", "text_files", "texts",
}  # fmt: skip


def known_sources() -> list[str]:
    """Names of the data sets that come with the producer and with other distributions."""
    return sorted(_own_names() | plugin_names())


def open_source(name: str, data: Path | None) -> Source:
    """The data set `name`, or the file given for it; raises UsageError for an unknown one."""
    source = _named(name)
    if source is not None:
        return source if data is None else source.over(data)
    if data is None:
        raise UsageError(
            f"--dataset {name!r} is not known ({', '.join(known_sources())}); "
            "give its file with --data to use another"
        )
    return file_source(name, data)


def _named(name: str) -> Source | None:
    if name in _own_names():
        refuse_clash(name)
        source: Source = importlib.import_module(f"{__name__}.{name}").open_source()
        return source
    return open_plugin(name) if name in plugin_names() else None


def _own_names() -> set[str]:
    return {module.name for module in pkgutil.iter_modules(__path__)} - _NOT_SOURCES


__all__ = ["Selection", "Source", "known_sources", "open_source", "read_questions"]
