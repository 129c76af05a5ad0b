"""vLLM on this machine, in an environment of its own: prompts and tokens travel as JSON files.

This project does not depend on it; docs/performance.md says how to set it up.
"""

import json
import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.baselines.baseline import Way
from benchmarks.measure import RepeatLimit, median_of
from benchmarks.prompts import PlainPrompt
from common.models import ModelSource
from worker.model.gguf import unpacked_gguf

NAME = "vLLM"
SIDE = Path(__file__).with_name("vllm_worker.py")
_LIMIT_SECONDS = 900
_DEFAULTS = {
    "VLLM_CPU_KVCACHE_SPACE": "2",
    # Its own default leaves a core to its scheduler, half of a machine of two: slower there.
    "VLLM_CPU_NUM_OF_RESERVED_CPU": "0",
    "VLLM_LOGGING_LEVEL": "WARNING",
}


def run_vllm(
    python: Path | None,
    source: ModelSource,
    dtype: str,
    prompts: Sequence[PlainPrompt],
    warm_up: Sequence[PlainPrompt],
    max_new_tokens: int,
    limit: RepeatLimit,
) -> Way:
    """Answer the prompts with the vLLM of another interpreter; a row that says why if it fails."""
    if python is None:
        return Way(NAME, note="not measured: --vllm-python names no interpreter that has it")
    asked = {
        "model": model_location(source),
        "dtype": dtype,
        "max_length": max(len(p.tokens) for p in (*prompts, *warm_up)) + max_new_tokens,
        "max_new_tokens": max_new_tokens,
        "prompts": [prompt.tokens for prompt in prompts],
        "warm_up": [prompt.tokens for prompt in warm_up],
        "repeats": limit.repeats,
        "limit_seconds": limit.seconds,
    }
    with tempfile.TemporaryDirectory(prefix="self-ensemble-vllm-") as folder:
        answered = ask(python, asked, Path(folder))
    if isinstance(answered, str):
        return Way(NAME, note=f"does not run here: {answered}")
    tokens = {p.place: tuple(t) for p, t in zip(prompts, answered["tokens"], strict=True)}
    reserved = environment()["VLLM_CPU_NUM_OF_RESERVED_CPU"]
    note = f"version {answered['version']}, prefix caching on, {reserved} cores reserved"
    return Way(NAME, len(prompts), median_of(answered["seconds"]), tokens, note)


def environment() -> dict[str, str]:
    """Of the other side: what the person has set goes before our defaults."""
    return _DEFAULTS | dict(os.environ)


def model_location(source: ModelSource) -> str:
    """What vLLM can load: a folder of safetensors, or a hub id."""
    return str(unpacked_gguf(source)) if source.kind == "gguf_package" else source.location


def ask(python: Path, asked: dict[str, Any], folder: Path) -> dict[str, Any] | str:
    """What the other side answered, or the last line of what it complained of."""
    before, after, log = folder / "asked.json", folder / "answered.json", folder / "log"
    before.write_text(json.dumps(asked))
    # -P: this file's folder has a queue.py, which would pass for the library's.
    command = [str(python), "-P", str(SIDE), str(before), str(after)]
    try:
        with log.open("wb") as output:
            subprocess.run(
                command, cwd=folder, env=environment(), stdin=subprocess.DEVNULL,
                stdout=output, stderr=output, timeout=_LIMIT_SECONDS, check=True,
            )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"no answer in {_LIMIT_SECONDS} s"
    except subprocess.CalledProcessError:
        lines = log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it ended without a word"
    answered: dict[str, Any] = json.loads(after.read_text())
    return answered
