"""The other side of the vLLM baseline: run by vLLM's own interpreter, where this project is not.

    python -P vllm_worker.py asked.json answered.json

Imports vllm and the standard library alone.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import vllm
from vllm import LLM, SamplingParams


def main(asked_path: str, answered_path: str) -> None:
    """Answer the prompts of one file, write tokens and seconds to the other."""
    asked = json.loads(Path(asked_path).read_text())
    llm = LLM(
        asked["model"],
        dtype=asked["dtype"],
        max_model_len=asked["max_length"],
        enable_prefix_caching=True,
        seed=0,
    )
    seconds: list[float] = []
    while not seconds or (
        len(seconds) < asked["repeats"] and sum(seconds) < asked["limit_seconds"]
    ):
        tokens, took = answer(llm, asked)
        seconds.append(took)
    answered = {"version": vllm.__version__, "seconds": seconds, "tokens": tokens}
    Path(answered_path).write_text(json.dumps(answered))


def answer(llm: Any, asked: dict[str, Any]) -> tuple[list[list[int]], float]:
    """One pass. The cache knows the examples of the prompts before, but not the prompts."""
    sampling = SamplingParams(
        temperature=0.0, max_tokens=asked["max_new_tokens"], ignore_eos=True, detokenize=False
    )
    llm.reset_prefix_cache()
    llm.generate(_prompts(asked["warm_up"]), sampling, use_tqdm=False)
    prompts = _prompts(asked["prompts"])
    started = time.perf_counter()
    outputs = llm.generate(prompts, sampling, use_tqdm=False)
    took = time.perf_counter() - started
    return [list(output.outputs[0].token_ids) for output in outputs], took


def _prompts(tokens: list[list[int]]) -> list[dict[str, list[int]]]:
    return [{"prompt_token_ids": ids} for ids in tokens]


# vLLM starts processes that import this file again.
if __name__ == "__main__":
    main(*sys.argv[1:])
