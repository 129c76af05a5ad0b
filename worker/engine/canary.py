"""The canary: the engine's logits beside those of the model's own eager forward, at every load.

Masks, positions, heads, scales and caches are the engine's, not the model's. Whether they are
right for a model is not concluded from its family but computed: prompts of invented tokens are
packed into one row and decoded by the engine, and each is computed alone by transformers, with
the eager attention and the mask that the model makes for itself.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from common.errors import StopRun
from worker.engine.attention import FLEX_MIN_TOKENS
from worker.engine.canary_outputs import Computed, engine_outputs, own_output
from worker.engine.canary_prompts import Case, invent_cases
from worker.engine.engine import Engine
from worker.engine.layers import decoder_layers
from worker.model.geometry import dtype_name

FLOAT32_BOUND = 1e-3
"""Largest error, as a share of the logits' standard deviation, that is rounding in float32.

Measured with seeded tiny models of a dozen families: rounding gives at most 4e-6 there, and the
five faults that tests plant at least 0.19 each.
"""

_HALF_BOUNDS = {torch.bfloat16: 0.05, torch.float16: 0.01}
_TIMES_OWN_ROUNDING = 5
_LARGEST_BOUND = 0.5
"""In half precision the bound is so many times what the model's own two attentions, eager and
sdpa, differ by on the same prompts, at least the first and at most the last. Rounding gives
about 0.02 in bfloat16, and more where it sends a token to another expert; planted faults give
0.06 to 1.5, so that a small one may pass there. The margin is tenfold in float32 alone."""


@torch.inference_mode()
def check_engine(engine: Engine) -> str:
    """The largest difference found, as a clause for the log.

    Raises StopRun where the engine computes other logits than its model by itself.
    """
    cases = _cases(engine)
    found = engine_outputs(engine, cases)
    wanted = [own_output(engine.model, c, f.tokens) for c, f in zip(cases, found, strict=True)]
    errors = [case_error(f.logits, w.logits) for f, w in zip(found, wanted, strict=True)]
    bound = _bound(engine.model, cases, wanted)
    for number, (error, case) in enumerate(zip(errors, cases, strict=True)):
        # Written so that NaN stops the run, too.
        if not error <= bound:
            raise StopRun(
                f"{type(engine.model).__name__} cannot be used here: for {case.name} the engine's "
                f"logits differ from those of transformers' own eager attention by {error:.2g} "
                f"of their standard deviation, where rounding in {dtype_name(engine.model)} gives "
                f"at most {bound:.2g}; {_where(engine, cases, number, bound)}"
            )
    worst = max(errors, default=0.0)
    return f"logits of {len(cases)} prompts differ by {worst:.1g} at most, {bound:.1g} is allowed"


def _cases(engine: Engine) -> list[Case]:
    """As many as the engine's backend takes to be used at all."""
    least = FLEX_MIN_TOKENS if engine.backend.name == "flex" else 0
    cases = invent_cases(engine.model, engine.geometry, least)
    if not cases:
        raise StopRun(
            f"{type(engine.model).__name__} cannot be used here: it has too few positions for "
            f"any prompt: {engine.geometry.positions}"
        )
    return cases


def _bound(model: PreTrainedModel, cases: Sequence[Case], eager: Sequence[Computed]) -> float:
    """The largest error that is rounding, in the model's dtype."""
    if model.dtype not in _HALF_BOUNDS:
        return FLOAT32_BOUND
    own = [0.0]
    if model._supports_sdpa:
        for case, one in zip(cases, eager, strict=True):
            other = own_output(model, case, one.tokens, attention="sdpa")
            own.append(case_error(other.logits, one.logits))
    rounding = max(_HALF_BOUNDS[model.dtype], _TIMES_OWN_ROUNDING * max(own))
    return min(rounding, _LARGEST_BOUND)


def case_error(found: Tensor, wanted: Tensor) -> float:
    """The error of a prompt's logits [S, V]: of the worst token in float32, else of the median.

    Rounding in half precision may send one token of several to another expert.
    """
    errors = row_errors(found, wanted)
    return float(errors.max() if wanted.dtype == torch.float32 else errors.median())


def row_errors(found: Tensor, wanted: Tensor) -> Tensor:
    """Root mean square of the difference over the standard deviation, [S]; logits [S, V].

    A difference that all entries of a row share changes no probability and is left out. Entries
    that a model excludes (-inf, or the least number of its dtype) must be the same ones.

        >>> row_errors(torch.tensor([[1.0, 2.0, 4.0]]), torch.tensor([[0.0, 1.0, 2.0]]))
        tensor([0.5774])
    """
    excluded = wanted <= torch.finfo(wanted.dtype).min / 4
    if not excluded.equal(found <= torch.finfo(found.dtype).min / 4):
        return torch.full(wanted.shape[:1], torch.nan)
    found, wanted = (x.float().masked_fill(excluded, torch.nan) for x in (found, wanted))
    counted = (~excluded).sum(dim=-1)
    spreads = [
        ((x - x.nanmean(dim=-1, keepdim=True)).square().nansum(dim=-1) / counted).sqrt()
        for x in (found - wanted, wanted)
    ]
    unknown = (found.isnan() ^ wanted.isnan()).any(dim=-1) | (counted == 0)
    return (spreads[0] / spreads[1]).masked_fill(unknown, torch.nan)


def _where(engine: Engine, cases: Sequence[Case], number: int, bound: float) -> str:
    """The first layer whose hidden states differ, as a clause."""
    found = engine_outputs(engine, cases, hidden=True)[number]
    own = own_output(engine.model, cases[number], found.tokens, hidden=True)
    layers = decoder_layers(engine.model)
    for n in sorted(found.hidden):
        wanted = own.hidden[n].float()
        difference = float((found.hidden[n].float() - wanted).norm() / wanted.norm())
        if not difference <= bound:
            return (
                f"hidden states differ first in layer {n} ({type(layers[n]).__name__}), by "
                f"{difference:.2g}"
            )
    return "no layer's hidden states differ by as much"
