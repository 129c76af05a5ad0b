"""The canary: compares the engine's logits with the model's own eager forward, at every load.

The engine replaces the model's masks, positions, scales and caches. Whether its own are right for
a model is computed, not concluded from the model's family: the engine packs prompts of invented
tokens into one row and decodes them, and transformers computes each prompt alone, with eager
attention and the mask that the model makes for itself.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from common.errors import StopRun
from worker.engine.canary_outputs import CanaryOutput, engine_outputs, own_output
from worker.engine.canary_prompts import CanaryCase, invent_cases
from worker.engine.engine import Engine
from worker.engine.fusions import FUSIONS
from worker.model.decoder_layers import decoder_layers
from worker.model.geometry import dtype_name

FLOAT32_BOUND = 1e-3
"""Largest error, as a share of the logits' standard deviation, that is rounding in float32.

Measured with seeded tiny models of a dozen families: rounding gives at most 4e-6, and each of the
five faults that tests plant gives at least 0.19.
"""

_HALF_BOUNDS = {torch.bfloat16: 0.05, torch.float16: 0.01}
_TIMES_OWN_ROUNDING = 5
_LARGEST_BOUND = 0.5
"""In half precision the bound is `_TIMES_OWN_ROUNDING` times the difference of the model's own
eager and sdpa attention on the same prompts, at least `_HALF_BOUNDS` and at most
`_LARGEST_BOUND`. Rounding gives about 0.02 in bfloat16, and more if it sends a token to another
expert; planted faults give 0.06 to 1.5, so a small fault may pass. Only in float32 is the margin
tenfold. A model that transformers computes without sdpa (Gemma 2) cannot be measured so, and its
own rounding is taken to be `_HALF_BOUNDS`."""


@torch.inference_mode()
def check_engine(engine: Engine) -> str:
    """Compare the engine with its model; returns the largest difference, as a clause for the log.

    Raises StopRun if the engine's logits differ from the model's by more than rounding.
    """
    rows = _rows(engine)
    cases = [(row, case) for row in rows for case in row]
    outputs = [output for row in rows for output in engine_outputs(engine, row)]
    pairs = list(zip(cases, outputs, strict=True))
    expected = [own_output(engine.model, case, output.tokens) for (_, case), output in pairs]
    bound = _bound(engine.model, [case for _, case in cases], expected)
    errors = []
    for ((row, case), output), own in zip(pairs, expected, strict=True):
        errors.append(error := case_error(output.logits, own.logits))
        # Negated, so that NaN stops the run, too.
        if not error <= bound:
            raise StopRun(
                f"{type(engine.model).__name__} cannot be used here: for {case.name} the engine's "
                f"logits differ from those of transformers' own eager attention by {error:.2g} "
                f"of their standard deviation, where rounding in {dtype_name(engine.model)} gives "
                f"at most {bound:.2g}; {_first_layer(engine, row, case, bound)}"
            )
    _check_fusions(engine)
    worst = max(errors, default=0.0)
    return f"logits of {len(cases)} prompts differ by {worst:.1g} at most, {bound:.1g} is allowed"


def _rows(engine: Engine) -> list[list[CanaryCase]]:
    """Return the prompts of each row that is computed.

    A row that reaches past a window has other masks than one that does not, so a model with
    windows computes one of each.
    """
    cases = _cases(engine)
    near = [case for case in cases if not case.is_far]
    return [near, cases] if any(engine.geometry.windows) and near else [cases]


@torch.inference_mode()
def _check_fusions(engine: Engine) -> None:
    """Raise StopRun unless the engine picks the best token of every fusion as it is written."""
    model, size = engine.model, (2, 3, engine.geometry.vocabulary)
    generator = torch.Generator().manual_seed(0)
    drawn, weights = torch.randn(size, generator=generator), torch.rand(2, 3, generator=generator)
    logits, weights = drawn.to(model.device, model.dtype), weights.to(model.device)
    for fusion, scores_of in FUSIONS.items():
        scores = scores_of(logits.float(), weights)
        read = weights if fusion == "weighted_mean" else None
        tokens, logprobs = engine.runner.ops.pick_best(logits, fusion, read, None)
        picked = scores.gather(-1, tokens[:, None])[:, 0]
        error = max((logprobs - picked).abs().max(), (scores.amax(dim=-1) - picked).abs().max())
        if not float(error) <= FLOAT32_BOUND:
            raise StopRun(
                f"{type(model).__name__} cannot be used here: by {fusion} the engine picks a "
                f"token whose log-score differs from that of the best one by {float(error):.2g}"
            )


def _cases(engine: Engine) -> list[CanaryCase]:
    """Invent enough prompts for a row that the engine computes by its own backend.

    Raises StopRun if the model has too few positions for any.
    """
    least = engine.runner.backend.canary_tokens
    cases = invent_cases(engine.geometry, least)
    if not cases:
        raise StopRun(
            f"{type(engine.model).__name__} cannot be used here: it has too few positions for "
            f"any prompt: {engine.geometry.positions}"
        )
    return cases


def _bound(
    model: PreTrainedModel, cases: Sequence[CanaryCase], eager: Sequence[CanaryOutput]
) -> float:
    """Return the largest error that counts as rounding in the model's dtype."""
    if model.dtype not in _HALF_BOUNDS:
        return FLOAT32_BOUND
    own = [0.0 if model._supports_sdpa else _HALF_BOUNDS[model.dtype]]
    if model._supports_sdpa:
        for case, one in zip(cases, eager, strict=True):
            other = own_output(model, case, one.tokens, attention="sdpa")
            own.append(case_error(other.logits, one.logits))
    rounding = max(_HALF_BOUNDS[model.dtype], _TIMES_OWN_ROUNDING * max(own))
    return min(rounding, _LARGEST_BOUND)


def case_error(computed: Tensor, expected: Tensor) -> float:
    """Return the error of a prompt's logits [S, V]: the largest one in float32, else the median.

    In half precision rounding may send one token of several to another expert.
    """
    errors = row_errors(computed, expected)
    return float(errors.max() if expected.dtype == torch.float32 else errors.median())


def row_errors(computed: Tensor, expected: Tensor) -> Tensor:
    """Root mean square of the difference over the standard deviation, [S]; logits [S, V].

    A difference that all entries of a row share changes no probability and is subtracted first.
    The entries that a model excludes (-inf, or the least number of its dtype) must be the same,
    else the error is NaN.

        >>> row_errors(torch.tensor([[1.0, 2.0, 4.0]]), torch.tensor([[0.0, 1.0, 2.0]]))
        tensor([0.5774])
    """
    excluded = expected <= torch.finfo(expected.dtype).min / 4
    if not excluded.equal(computed <= torch.finfo(computed.dtype).min / 4):
        return torch.full(expected.shape[:1], torch.nan)
    computed, expected = (x.float().masked_fill(excluded, torch.nan) for x in (computed, expected))
    counted = (~excluded).sum(dim=-1)
    spreads = [
        ((x - x.nanmean(dim=-1, keepdim=True)).square().nansum(dim=-1) / counted).sqrt()
        for x in (computed - expected, expected)
    ]
    unknown = (computed.isnan() ^ expected.isnan()).any(dim=-1) | (counted == 0)
    return (spreads[0] / spreads[1]).masked_fill(unknown, torch.nan)


def _first_layer(engine: Engine, row: Sequence[CanaryCase], case: CanaryCase, bound: float) -> str:
    """Name the first layer whose hidden states differ, as a clause. case: one of its row."""
    output = engine_outputs(engine, row, hidden=True)[row.index(case)]
    own = own_output(engine.model, case, output.tokens, hidden=True)
    if not output.hidden:
        return "compiled layers do not tell which of them differs first"
    layers = decoder_layers(engine.model)
    for n in sorted(output.hidden):
        expected = own.hidden[n].float()
        difference = float((output.hidden[n].float() - expected).norm() / expected.norm())
        if not difference <= bound:
            return (
                f"hidden states differ first in layer {n} ({type(layers[n]).__name__}), by "
                f"{difference:.2g}"
            )
    return "no layer's hidden states differ by as much"
