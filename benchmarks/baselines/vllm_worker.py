"""The worker of the vLLM baseline, run by vLLM's own interpreter, which lacks this project.

    python -P vllm_worker.py request.json response.json

It imports only vllm and the standard library.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import vllm
from vllm import LLM, SamplingParams


def main(request_path: str, response_path: str) -> None:
    """Answer the prompts of the request file; write tokens and seconds to the response file."""
    request = json.loads(Path(request_path).read_text())
    llm = LLM(
        request["model"],
        dtype=request["dtype"],
        max_model_len=request["max_length"],
        enable_prefix_caching=True,
        seed=0,
    )
    seconds: list[float] = []
    while not seconds or (
        len(seconds) < request["repeats"] and sum(seconds) < request["limit_seconds"]
    ):
        tokens, elapsed = answer(llm, request)
        seconds.append(elapsed)
    response = {"version": vllm.__version__, "seconds": seconds, "tokens": tokens}
    Path(response_path).write_text(json.dumps(response))


def answer(llm: Any, request: dict[str, Any]) -> tuple[list[list[int]], float]:
    """Answer all prompts once. The cache knows their examples before, but not the prompts."""
    sampling = SamplingParams(
        temperature=0.0, max_tokens=request["max_new_tokens"], ignore_eos=True, detokenize=False
    )
    llm.reset_prefix_cache()
    llm.generate(_prompts(request["warm_up"]), sampling, use_tqdm=False)
    prompts = _prompts(request["prompts"])
    started = time.perf_counter()
    outputs = llm.generate(prompts, sampling, use_tqdm=False)
    elapsed = time.perf_counter() - started
    return [list(output.outputs[0].token_ids) for output in outputs], elapsed


def _prompts(tokens: list[list[int]]) -> list[dict[str, list[int]]]:
    return [{"prompt_token_ids": ids} for ids in tokens]


# vLLM starts processes that import this file again.
if __name__ == "__main__":
    main(*sys.argv[1:])
