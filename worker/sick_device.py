"""Sick devices: CUDA errors after which this process can no longer use its GPU.

A device-side assert or an illegal address poisons the CUDA context: every later call of the
process fails, whatever it computes. Only a new process has a new context, so this one ends. The
broker then gives the shard to another process, as it does after a kill; `worker.device_deaths`
notes the death first.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from worker.host import end_process

logger = logging.getLogger(__name__)

EXIT_STATUS = 70
"""EX_SOFTWARE of sysexits.h."""

GAVE_UP_STATUS = 71
"""EX_OSERR of sysexits.h: the device got sick of whatever it was given."""

_witnesses: list[Callable[[], int]] = []
"""Called before this process ends; it executes one shard at a time."""

_STICKY = (
    "an illegal instruction",
    "an illegal memory access",
    "device-side assert",
    "hardware stack error",
    "invalid program counter",
    "launch timed out",
    "misaligned address",
    "uncorrectable ECC error",
    "unspecified launch failure",
)
"""Texts of the CUDA errors after which the CUDA documentation says to end the process."""


def is_sick_device(error: BaseException) -> bool:
    """Whether an error, or an error that caused it, leaves the process without its GPU."""
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, RuntimeError) and _is_sticky(str(link)):
            return True
        link = link.__cause__ or link.__context__
    return False


def _is_sticky(message: str) -> bool:
    return "CUDA" in message and any(text in message for text in _STICKY)


@contextmanager
def witnessed(witness: Callable[[], int], unless_watched: bool = False) -> Iterator[None]:
    """Have `witness` called if the device gets sick in the block; it returns the status to end
    with.

    unless_watched: leave the call to the witness of an enclosing block, if there is any.
    """
    if unless_watched and _witnesses:
        yield
        return
    _witnesses.append(witness)
    try:
        yield
    finally:
        _witnesses.pop()


def end_process_if_sick(error: BaseException) -> None:
    """End this process at once if its device is sick; return otherwise."""
    if is_sick_device(error):
        logger.critical("the device takes no more work, this process ends: %s", error)
        end_process(_status())


def _status() -> int:
    try:
        return _witnesses[-1]() if _witnesses else EXIT_STATUS
    except Exception:
        logger.exception("the death of this process is not noted")
        return EXIT_STATUS
