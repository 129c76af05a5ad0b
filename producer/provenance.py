"""Provenance: who made a run, when, where and with what. Decides nothing."""

import getpass
import os
import platform
import time
from importlib.metadata import version
from typing import Any


def make_provenance(shard_size: int) -> dict[str, Any]:
    """What run.json says of a run made here and now."""
    return {
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "user": _user(),
        "host": platform.node(),
        "self_ensemble": version("self-ensemble"),
        "python": platform.python_version(),
        "shard_size": shard_size,
    }


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container started with a bare number
        return str(os.getuid())
