"""Faults of model processes, for workers that are started with `-I` and this module's name.

FAULT_SICK         the device gets sick of samples with a paraphrase that matches the pattern
FAULT_SICK_DEATHS  deaths of a lone device before its worker ends; each takes the import of torch
FAULT_NO_MEMORY    if set, no model fits into memory
FAULT_DEATHS       a file: each process ends while it starts, and takes a byte from the file, until
                   it is empty
"""

import os
import re
from pathlib import Path
from typing import Any

from celery.signals import worker_process_init

from worker import device_deaths


@worker_process_init.connect
def begin(**_: Any) -> None:
    file = os.environ.get("FAULT_DEATHS")
    if file and (left := Path(file).read_bytes()):
        Path(file).write_bytes(left[1:])
        os._exit(9)
    if pattern := os.environ.get("FAULT_SICK"):
        get_sick_of(re.compile(pattern))
    if deaths := os.environ.get("FAULT_SICK_DEATHS"):
        device_deaths.DEVICE_DEATHS_ALONE = int(deaths)
    if os.environ.get("FAULT_NO_MEMORY"):
        lack_memory()


def get_sick_of(pattern: "re.Pattern[str]") -> None:
    from worker.engine.engine import Engine

    run = Engine.run

    def run_or_get_sick(self: Any, samples: Any, *arguments: Any) -> Any:
        if any(pattern.search(text) for sample in samples for text in sample.paraphrases):
            raise RuntimeError("CUDA error: device-side assert triggered")
        return run(self, samples, *arguments)

    Engine.run = run_or_get_sick  # type: ignore[method-assign]


def lack_memory() -> None:
    from worker import manager

    def fails(*_: Any) -> None:
        raise MemoryError("no memory is left")

    manager.load_model = fails  # type: ignore[assignment]
