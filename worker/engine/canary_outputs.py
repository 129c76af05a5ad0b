"""Logits of the canary's prompts, computed by the engine and by the model itself.

Both can also return the hidden states of every layer, to locate a difference.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from common.prompts import PromptFormat, Template
from common.visibility import VISIBILITIES, Table
from worker.engine.canary_prompts import NEW_TOKENS, CanaryCase
from worker.engine.decode_bucket import DecodeBucket
from worker.engine.engine import Engine
from worker.engine.ensembles import Ensemble
from worker.engine.prefix_tree import Pack
from worker.engine.reference import reference_masks
from worker.engine.request import Request
from worker.engine.sampler import gather_logits
from worker.engine.segments import PrefixSplitter, Segment, plan_sequence
from worker.model.decoder_layers import decoder_layers

_REQUEST = Request(
    methods=(),
    num_paraphrases=0,
    layout="concat",
    positions="sequential",
    prompt_format=PromptFormat(Template(instruction="")),
    max_new_tokens=NEW_TOKENS + 1,
    stop=(),
    ignore_eos=True,
)


@dataclass(frozen=True)
class CanaryOutput:
    """Output for one prompt: logits [S, V] of each picked token, and the tokens.

    hidden: hidden states [S, width] by layer; empty unless requested.
    """

    logits: Tensor
    tokens: tuple[int, ...]
    hidden: dict[int, Tensor]


def engine_outputs(
    engine: Engine, cases: Sequence[CanaryCase], hidden: bool = False
) -> list[CanaryOutput]:
    """Prefill all prompts in one row, by the engine's backend, and decode them greedily."""
    runner = engine.runner
    shared = Pack.of(Segment(case.shared, 0) for case in cases if case.shared)
    prefix = runner.prefill(shared, runner.empty_cache())
    sequences = [plan_sequence(c.prompt, _visible(c), _splitter(engine, c)) for c in cases]
    pack = Pack(prefix.slots)
    pack.add(sequences)
    caches = dict.fromkeys(sequences, runner.prefill(pack, prefix, backend_from=0))
    ensembles = [Ensemble((sequence,), "own") for sequence in sequences]
    bucket = engine.load(ensembles, caches, prefix, _REQUEST)
    with _layer_outputs(engine.model if hidden else None) as layers:
        steps = [_step(engine, bucket, layers) for _ in range(NEW_TOKENS)]
    return [
        CanaryOutput(
            torch.stack([logits[i] for logits, _, _ in steps]),
            tuple(int(tokens[i]) for _, tokens, _ in steps),
            {n: torch.stack([h[n][i] for _, _, h in steps]) for n in steps[0][2]},
        )
        for i in range(len(cases))
    ]


def _splitter(engine: Engine, case: CanaryCase) -> PrefixSplitter:
    """Return a splitter that moves the tokens a prompt repeats, if the model's keys may be moved.

    A prompt at the last positions is not moved: over 100,000 positions float32 angles are too
    coarse for a moved key to be equal.
    """
    return PrefixSplitter((case.shared,), engine.geometry.movable and bool(case.shared))


def _visible(case: CanaryCase) -> Table:
    return VISIBILITIES[case.method.visibility](case.prompt.num_segments, 0)


def _step(
    engine: Engine, bucket: DecodeBucket, layers: dict[int, Tensor]
) -> tuple[Tensor, Tensor, dict[int, Tensor]]:
    """Decode one step; returns logits [E, V], tokens [E] and hidden states [E, width]."""
    computed = engine.runner.logits(bucket)
    (batch,) = bucket.batches
    rows, pick_best = batch.rows, engine.runner.ops.pick_best
    tokens, logprobs = pick_best(gather_logits(computed, rows), batch.fusion, None, None)
    bucket.write(batch, tokens, logprobs)
    logits = computed[rows[:, 0]].clone()
    hidden = {n: output[0][rows[:, 0]].clone() for n, output in layers.items()}
    bucket.compact()
    return logits, tokens, hidden


def own_output(
    model: PreTrainedModel,
    case: CanaryCase,
    tokens: Sequence[int],
    hidden: bool = False,
    attention: str = "eager",
) -> CanaryOutput:
    """Compute one prompt and the tokens after it by the model's own attention.

    A plain prompt gets the mask that the model makes, a packed one the reference's dense mask.
    """
    prompt, fed = case.prompt, tokens[:-1]
    places = [*prompt.positions, *range(prompt.next_position, prompt.next_position + len(fed))]
    masks = None if case.is_plain else reference_masks(model, prompt, len(fed), case.method)
    with _layer_outputs(model if hidden else None) as layers, _own_attention(model, attention):
        output = model(
            input_ids=torch.tensor([[*prompt.tokens, *fed]], device=model.device),
            position_ids=torch.tensor([places], device=model.device),
            attention_mask=masks,
            use_cache=False,
        )
    states = {n: state[0, -len(tokens) :] for n, state in layers.items()}
    return CanaryOutput(output.logits[0, -len(tokens) :], tuple(tokens), states)


@contextmanager
def _own_attention(model: PreTrainedModel, name: str) -> Iterator[None]:
    """Give the model one of transformers' attentions, and run its layers eagerly, meanwhile."""
    before = model.config._attn_implementation
    model.set_attn_implementation(name)
    try:
        with torch.compiler.set_stance("force_eager"):
            yield
    finally:
        model.set_attn_implementation(before)


@contextmanager
def _layer_outputs(model: PreTrainedModel | None) -> Iterator[dict[int, Tensor]]:
    """Record the last output of each layer, [1, T, width]; nothing if the model is None."""
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
