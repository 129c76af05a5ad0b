"""What the engine generates, as the tests compare it: by method name, without texts."""

from collections.abc import Sequence
from typing import Any

from worker.engine.engine import Engine
from worker.engine.request import Request
from worker.engine.stats import EngineStats


def answers_of(
    engine: Engine, samples: Sequence[Any], request: Request, stats: EngineStats | None = None
) -> list[Any]:
    """Generations of each sample by method name, or the error; adds the call's work to `stats`."""
    output = engine.run(samples, request)
    if stats is not None:
        vars(stats).update(vars(stats + output.stats))
    return [dict(answers.generations) for answers in output.answers]
