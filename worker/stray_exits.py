"""Stray exits: what a library raises that is no Exception, and means no end of this process.

`SystemExit` of a library, or the panic of one written in Rust, passes every `except Exception`.
Celery takes the first for the death of the process, and delivers the shard again for ever; of the
second it says nothing, and the shard is gone.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from billiard.common import terminate_handler_fired

from common.errors import described


class StrayExit(RuntimeError):
    """A library raised what is no Exception."""


@contextmanager
def as_errors() -> Iterator[None]:
    """Raise StrayExit for what the block raises that is no Exception.

    Only a process that was told to end, by a signal, goes on ending.
    """
    try:
        yield
    except Exception:
        raise
    except BaseException as error:
        if terminate_handler_fired():
            raise
        raise StrayExit(described(error)) from error
