"""Provenance of a run: who created it, when, where and with which versions. For information."""

import getpass
import os
import platform
import time
from importlib.metadata import version
from typing import Any


def make_provenance(shard_size: int) -> dict[str, Any]:
    """Provenance of a run that this process creates now, as run.json stores it."""
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
    except (KeyError, OSError):  # A container may run as a user id that has no name.
        return str(os.getuid())
