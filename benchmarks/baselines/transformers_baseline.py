"""transformers as a baseline: `generate` over padded batches, and continuous batching.

Both answer plain prompts, as an ensemble by voting would. Nothing ends an answer early.
"""

import time
from collections.abc import Sequence
from typing import Any

import torch
from transformers import ContinuousBatchingConfig, GenerationConfig, PreTrainedModel

from benchmarks.baselines.baseline import Baseline, PlainPrompt, TokensByPlace
from benchmarks.measure import RepeatLimit, repeated, timed
from common.errors import first_line
from common.layout import TokenIds

_NO_TOKEN = -1
_PAGE_TOKENS = 32
"""Short enough that prompts share the pages of the examples before them."""


def run_generate(
    model: PreTrainedModel,
    prompts: Sequence[PlainPrompt],
    batch: int,
    max_new_tokens: int,
    limit: RepeatLimit,
) -> Baseline:
    """Run `generate` on left-padded batches, in the order of the prompts."""
    tokens: TokensByPlace = {}
    batches = [prompts[low : low + batch] for low in range(0, len(prompts), batch)]

    def work() -> None:
        for some in batches:
            tokens.update(generate(model, some, max_new_tokens))

    model.set_attn_implementation("sdpa")
    generate(model, batches[0], max_new_tokens)
    elapsed = timed(work, limit)
    return Baseline(f"transformers generate, batch {batch}", len(prompts), elapsed, tokens)


def generate(
    model: PreTrainedModel, prompts: Sequence[PlainPrompt], max_new_tokens: int
) -> TokensByPlace:
    """Call `generate` once."""
    longest = max(len(prompt.tokens) for prompt in prompts)
    padding = [longest - len(prompt.tokens) for prompt in prompts]
    ids = [[0] * n + list(p.tokens) for n, p in zip(padding, prompts, strict=True)]
    mask = [[0] * n + [1] * (longest - n) for n in padding]
    output = model.generate(  # type: ignore[operator]
        input_ids=torch.tensor(ids, device=model.device),
        attention_mask=torch.tensor(mask, device=model.device),
        generation_config=_config(max_new_tokens),
    )
    generated = output[:, longest:].tolist()
    return {p.place: tuple(g) for p, g in zip(prompts, generated, strict=True)}


def run_continuous(
    model: PreTrainedModel,
    prompts: Sequence[PlainPrompt],
    warm_up: Sequence[PlainPrompt],
    max_new_tokens: int,
    limit: RepeatLimit,
) -> Baseline:
    """Run continuous batching with paged keys and values; the note says why if it fails.

    warm_up: other prompts with the same examples, answered first. Each repeat has its own cache,
    so a prompt never finds its own pages there.
    """
    name = "transformers continuous batching"
    tokens: TokensByPlace = {}
    try:
        elapsed = repeated(
            lambda: _continuous(model, prompts, warm_up, max_new_tokens, tokens), limit
        )
    except Exception as error:  # another library, which may fail in any way
        return Baseline(name, note=f"does not run on this device: {first_line(error)}")
    return Baseline(name, len(prompts), elapsed, tokens)


def _continuous(
    model: PreTrainedModel,
    prompts: Sequence[PlainPrompt],
    warm_up: Sequence[PlainPrompt],
    max_new_tokens: int,
    tokens: TokensByPlace,
) -> float:
    longest = max(len(p.tokens) for p in (*prompts, *warm_up)) + max_new_tokens
    config = ContinuousBatchingConfig(
        page_size=_PAGE_TOKENS,
        num_blocks=(longest // _PAGE_TOKENS + 2) * (len(prompts) + len(warm_up)),
        seed=0,
    )
    with model.continuous_batching_context_manager(  # type: ignore[operator]
        _config(max_new_tokens), timeout=5, continuous_batching_config=config
    ) as manager:
        _answer(manager, warm_up, max_new_tokens)
        started = time.perf_counter()
        tokens.update(_answer(manager, prompts, max_new_tokens))
        return time.perf_counter() - started


def _answer(manager: Any, prompts: Sequence[PlainPrompt], max_new_tokens: int) -> TokensByPlace:
    inputs = [list(prompt.tokens) for prompt in prompts]
    ids = manager.add_requests(inputs=inputs, max_new_tokens=max_new_tokens)
    tokens: dict[str, TokenIds] = {}
    while len(tokens) < len(prompts):
        result = manager.get_result(timeout=1)
        if result is None and not manager.is_running():
            raise RuntimeError("its thread ended early")
        if result is not None and result.error:
            raise RuntimeError(result.error)
        if result is not None and result.is_finished():
            tokens[result.request_id] = tuple(result.generated_tokens)
    return {prompt.place: tokens[i] for prompt, i in zip(prompts, ids, strict=True)}


def _config(max_new_tokens: int) -> GenerationConfig:
    return GenerationConfig(
        max_new_tokens=max_new_tokens, do_sample=False, eos_token_id=_NO_TOKEN, pad_token_id=0
    )
