"""vLLM as a baseline, in an environment of its own: prompts and tokens travel as JSON files.

This project does not depend on vLLM; docs/performance.md says how to set it up.
"""

import json
import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.baselines.baseline import Baseline, PlainPrompt
from benchmarks.measure import RepeatLimit, median_of
from common.models import ModelSource
from worker.model.gguf import unpacked_gguf

NAME = "vLLM"
WORKER = Path(__file__).with_name("vllm_worker.py")
_LIMIT_SECONDS = 900
_DEFAULTS = {
    "VLLM_CPU_KVCACHE_SPACE": "2",
    # vLLM reserves a core for its scheduler by default, which is slower on two cores.
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
) -> Baseline:
    """Answer the prompts with the vLLM of another interpreter; the note says why if it fails."""
    if python is None:
        return Baseline(NAME, note="not measured: --vllm-python names no interpreter that has it")
    request = {
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
        response = ask(python, request, Path(folder))
    if isinstance(response, str):
        return Baseline(NAME, note=f"does not run here: {response}")
    tokens = {p.place: tuple(t) for p, t in zip(prompts, response["tokens"], strict=True)}
    reserved = environment()["VLLM_CPU_NUM_OF_RESERVED_CPU"]
    note = f"version {response['version']}, prefix caching on, {reserved} cores reserved"
    return Baseline(NAME, len(prompts), median_of(response["seconds"]), tokens, note)


def environment() -> dict[str, str]:
    """Environment of the worker: variables that are set already win over these defaults."""
    return _DEFAULTS | dict(os.environ)


def model_location(source: ModelSource) -> str:
    """A location that vLLM can load: a folder of safetensors, or a hub id."""
    return str(unpacked_gguf(source)) if source.kind == "gguf_package" else source.location


def ask(python: Path, request: dict[str, Any], folder: Path) -> dict[str, Any] | str:
    """Run the worker; return its response, or the last line that it logged if it fails."""
    before, after, log = folder / "request.json", folder / "response.json", folder / "log"
    before.write_text(json.dumps(request))
    # -P: modules beside the worker must not shadow those of other packages.
    command = [str(python), "-P", str(WORKER), str(before), str(after)]
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
    response: dict[str, Any] = json.loads(after.read_text())
    return response
