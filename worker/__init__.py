"""Workers: `celery -A worker worker` runs one model-holding process per GPU.

`worker.engine` can be imported without Celery; `worker.app` is made when it is asked for.
"""

from typing import Any


def __getattr__(name: str) -> Any:
    if name != "app":
        raise AttributeError(f"module 'worker' has no attribute {name!r}")
    from worker.app import app

    globals()["app"] = app
    return app
