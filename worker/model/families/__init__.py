"""Quirks of model families, one file per quirk; a new file needs no entry anywhere else.

A file registers its quirk by `worker.model.config_facts.register_family` when it is imported.
"""

import pkgutil
from functools import cache
from importlib import import_module


@cache
def load_families() -> None:
    """Import every file of this package."""
    for module in pkgutil.iter_modules(__path__):
        import_module(f"{__name__}.{module.name}")
