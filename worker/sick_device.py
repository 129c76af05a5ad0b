"""Sick devices: errors after which a GPU takes no more work from this process.

A device-side assert or an illegal address poisons the CUDA context: every later call of the
process fails, whatever it computes. Only a new process has a new context, so this one ends. The
broker then gives the shard to another, as for a process that was killed.
"""

import logging
import os

logger = logging.getLogger(__name__)

EXIT_STATUS = 70
"""EX_SOFTWARE of sysexits.h."""

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
"""Of the texts of CUDA errors, those that the CUDA documentation says to end a process for."""


def is_sick_device(error: BaseException) -> bool:
    """Whether an error, or one that it came of, leaves the process without its GPU."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, RuntimeError) and _says_sticky(str(seen)):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def _says_sticky(message: str) -> bool:
    return "CUDA" in message and any(text in message for text in _STICKY)


def end_process_if_sick(error: BaseException) -> None:
    """End this process at once where its device is sick; return otherwise.

    Not by an exception: code on its way out would use the device, and the process would count
    as one that can go on.
    """
    if is_sick_device(error):
        logger.critical("the device takes no more work, this process ends: %s", error)
        logging.shutdown()
        os._exit(EXIT_STATUS)
