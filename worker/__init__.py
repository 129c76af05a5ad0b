"""Workers: `celery -A worker worker` runs one model-holding process per GPU.

Importing `worker` or `worker.engine` does not import Celery; `app` is made at its first use.
"""

from typing import Any


def __getattr__(name: str) -> Any:
    if name != "app":
        raise AttributeError(f"module 'worker' has no attribute {name!r}")
    from worker.app import app

    globals()["app"] = app
    return app
