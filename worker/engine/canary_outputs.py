"""Logits of the canary's prompts, by the engine and by the model itself.

Both may keep the hidden states that the layers put out, where a difference is to be found.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from common.visibility import VISIBILITIES
from worker.engine.attention import FLEX_MIN_TOKENS
from worker.engine.canary_prompts import NEW_TOKENS, Case
from worker.engine.decode import Batch, start_batch
from worker.engine.engine import Engine
from worker.engine.ensembles import Ensemble
from worker.engine.fusion import gathered
from worker.engine.kv_cache import KVCache, Placed, prefill
from worker.engine.layers import decoder_layers
from worker.engine.plan import PrefixSplitter, Segment, distinct_segments, plan_sequence
from worker.engine.prefix_tree import split_shared_prefixes
from worker.engine.reference import reference_mask


@dataclass(frozen=True)
class Computed:
    """Of one prompt: logits [S, V] of each picked token, the tokens, and hidden states.

    hidden: by layer [S, width], where they were asked for.
    """

    logits: Tensor
    tokens: tuple[int, ...]
    hidden: dict[int, Tensor]


def engine_outputs(engine: Engine, cases: Sequence[Case], hidden: bool = False) -> list[Computed]:
    """What the engine computes of all prompts side by side, decoded greedily."""
    model, backend = engine.model, engine.backend
    always = FLEX_MIN_TOKENS if backend.name == "flex" else 0
    shared = [Segment(case.shared, 0) for case in cases if case.shared]
    cached = prefill(model, backend, shared, KVCache.empty(model), always)
    sequences = [plan_sequence(c.prompt, _visible(c), _splitter(engine, c)) for c in cases]
    cut = split_shared_prefixes(sequences, cached.slots)
    done = prefill(model, backend, distinct_segments(list(cut.values())), cached, always)
    placed = {planned: Placed(sequence, done) for planned, sequence in cut.items()}
    ensembles = [Ensemble((sequence,), "own") for sequence in sequences]
    batch = start_batch(model, ensembles, placed, cached, NEW_TOKENS, engine.ops.attend)
    with _layer_outputs(model if hidden else None) as layers:
        steps = [_step(engine, batch, layers) for _ in range(NEW_TOKENS)]
    return [
        Computed(
            torch.stack([logits[i] for logits, _, _ in steps]),
            tuple(int(tokens[i]) for _, tokens, _ in steps),
            {n: torch.stack([h[n][i] for _, _, h in steps]) for n in steps[0][2]},
        )
        for i in range(len(cases))
    ]


def _splitter(engine: Engine, case: Case) -> PrefixSplitter:
    """What a prompt repeats is moved where the model's keys may be; a far one is not.

    Over 100,000 positions float32 angles are too coarse for a moved key to be the same.
    """
    return PrefixSplitter((case.shared,), engine.movable and bool(case.shared))


def _visible(case: Case) -> Any:
    return VISIBILITIES[case.method.visibility](case.prompt.num_segments, 0)


def _step(
    engine: Engine, batch: Batch, layers: dict[int, Tensor]
) -> tuple[Tensor, Tensor, dict[int, Tensor]]:
    """Logits [E, V], tokens [E] and hidden states [E, width] of one step of decoding."""
    computed = batch.logits(engine.model)
    (group,) = batch.groups
    rows, weights = group.rows, None
    tokens, _ = engine.ops.pick_best(gathered(computed, rows), group.fusion, weights)
    logits = computed[rows[:, 0]].clone()
    hidden = {n: output[0][rows[:, 0]].clone() for n, output in layers.items()}
    batch.advance([torch.zeros(len(rows), dtype=torch.bool, device=rows.device)], [tokens])
    return logits, tokens, hidden


def own_output(
    model: PreTrainedModel,
    case: Case,
    tokens: Sequence[int],
    hidden: bool = False,
    attention: str = "eager",
) -> Computed:
    """What the model computes of one prompt and the tokens after it, by its own attention.

    The mask of a plain prompt is the model's own.
    """
    prompt, fed = case.prompt, tokens[:-1]
    places = [*prompt.positions, *range(prompt.next_position, prompt.next_position + len(fed))]
    mask = None
    if not case.is_plain:
        mask = reference_mask(prompt, len(fed), model.dtype, case.method).to(model.device)
    with _layer_outputs(model if hidden else None) as layers, _own_attention(model, attention):
        output = model(
            input_ids=torch.tensor([[*prompt.tokens, *fed]], device=model.device),
            position_ids=torch.tensor([places], device=model.device),
            attention_mask=mask,
            use_cache=False,
        )
    states = {n: state[0, -len(tokens) :] for n, state in layers.items()}
    return Computed(output.logits[0, -len(tokens) :], tuple(tokens), states)


@contextmanager
def _own_attention(model: PreTrainedModel, name: str) -> Iterator[None]:
    """One of transformers' attentions in the same model, its layers as they are written."""
    before = model.config._attn_implementation
    model.set_attn_implementation(name)
    try:
        with torch.compiler.set_stance("force_eager"):
            yield
    finally:
        model.set_attn_implementation(before)


@contextmanager
def _layer_outputs(model: PreTrainedModel | None) -> Iterator[dict[int, Tensor]]:
    """By layer its last output, [1, T, width]; nothing without a model."""
    outputs: dict[int, Tensor] = {}

    def note(number: int, output: Any) -> None:
        outputs[number] = output[0] if isinstance(output, tuple) else output

    layers: list[nn.Module] = decoder_layers(model) if model is not None else []
    hooks = [
        layer.register_forward_hook(lambda _, __, out, n=n: note(n, out))
        for n, layer in enumerate(layers)
    ]
    try:
        yield outputs
    finally:
        for hook in hooks:
            hook.remove()
