"""The specification: slow, obvious, dense.

One sample at a time, one sequence at a time, the whole packed prompt recomputed for every token,
the mask written out by a double loop over the definition, transformers' own eager attention.
No cache, no packing of samples, no shared segments, none of the engine's attention backends.
Every fast path is tested against this file in float32; where they differ, the fast path is wrong.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from common.errors import StopRun
from common.layout import PackedPrompt, PromptTokens, pack_fused, pack_plain
from common.methods import Method
from common.records import Sample
from common.run import Layout, Positions
from common.visibility import VISIBILITIES
from worker.engine.answer_end import EOS, LENGTH, EndRules, stop_reason
from worker.engine.ensembles import Draw
from worker.engine.fusions import FUSIONS
from worker.engine.outputs import Generation
from worker.model.geometry import geometry_of

PLAIN = Method("plain", "first", "own", "one prompt as a model is normally given it")


def reference_prompts(
    pieces: PromptTokens,
    method: Method,
    layout: Layout,
    positions: Positions,
    sample: Sample | None = None,
) -> list[list[PackedPrompt]]:
    """Return the packed prompts of each answer: one list per answer, one prompt per sequence."""
    plain = [pack_plain(pieces, i) for i in range(len(pieces.prompts))]
    if method.sequences == "first":
        return [plain[:1]]
    if method.sequences == "fused":
        return [[pack_fused(pieces, layout, positions)]]
    if method.sequences == "most_confident":
        confidences = list((sample and sample.confidences) or ())
        return [[plain[confidences.index(max(confidences))]]]
    return [[prompt] for prompt in plain] if method.fusion in ("own", "vote") else [plain]


@torch.inference_mode()
def reference_logits(
    model: PreTrainedModel,
    prompt: PackedPrompt,
    generated: list[int],
    method: Method = PLAIN,
    num_manual: int = 0,
) -> Tensor:
    """Return the logits of the next token after `prompt` and the generated tokens, float32 [V].

    method: decides which segments of a packed prompt see each other.
    """
    first = prompt.next_position
    positions = [*prompt.positions, *range(first, first + len(generated))]
    masks = reference_masks(model, prompt, len(generated), method, num_manual)
    model.set_attn_implementation("eager")
    output = model(
        input_ids=torch.tensor([[*prompt.tokens, *generated]]),
        position_ids=torch.tensor([positions]),
        attention_mask=masks,
        use_cache=False,
    )
    logits: Tensor = output.logits[0, -1].float()
    return logits


def reference_masks(
    model: PreTrainedModel,
    prompt: PackedPrompt,
    num_generated: int,
    method: Method = PLAIN,
    num_manual: int = 0,
) -> Tensor | dict[str, Tensor]:
    """Return the additive mask of all layers, or one for each kind of layers if windows differ.

    Raises StopRun if the windows differ and the kinds of layers do not tell which has which.
    """
    sizes = geometry_of(model)
    if len(set(sizes.windows)) == 1:
        kinds: dict[str, int | None] = {"": sizes.windows[0]}
    else:
        kinds = dict(zip(sizes.layer_types, sizes.windows, strict=False))
        if [kinds.get(kind) for kind in sizes.layer_types] != list(sizes.windows):
            raise StopRun(
                f"{type(model).__name__} cannot be computed by the reference: its layers of types "
                f"{sizes.layer_types} have windows {sizes.windows}"
            )
    masks = {
        kind: reference_mask(prompt, num_generated, model.dtype, method, num_manual, window).to(
            model.device
        )
        for kind, window in kinds.items()
    }
    return masks.get("", masks)


def reference_mask(
    prompt: PackedPrompt,
    num_generated: int,
    dtype: torch.dtype,
    method: Method = PLAIN,
    num_manual: int = 0,
    window: int | None = None,
) -> Tensor:
    """Return the additive mask of a prompt and the generated tokens, [1, 1, T, T].

    window: keys this many positions before a query, or farther, are hidden; None hides none.
    """
    tail = len(prompt.groups) - 1
    groups = [*prompt.group_ids, *[tail] * num_generated]
    first = prompt.next_position
    positions = [*prompt.positions, *range(first, first + num_generated)]
    visible = VISIBILITIES[method.visibility](prompt.num_segments, num_manual)
    mean_log = math.fsum(math.log(len(g)) for g in prompt.groups[1:-1]) / prompt.num_segments
    mask = torch.full((1, 1, len(groups), len(groups)), torch.finfo(dtype).min)
    for q in range(len(groups)):
        for k in range(q + 1):
            near = window is None or positions[q] - positions[k] < window
            if near and visible[groups[q], groups[k]]:
                mask[0, 0, q, k] = 0.0
                if method.length_corrected and groups[q] == tail and 0 < groups[k] < tail:
                    mask[0, 0, q, k] = mean_log - math.log(len(prompt.groups[groups[k]]))
    return mask.to(dtype)


def reference_decode(
    model: PreTrainedModel,
    prompts: list[PackedPrompt],
    method: Method,
    rules: EndRules,
    token_bytes: Sequence[bytes],
    max_new_tokens: int,
    sample: Sample | None = None,
    draw: Draw | None = None,
    steps: list[Tensor] | None = None,
    max_reasoning_tokens: int | None = None,
) -> Generation:
    """Decode sequences that pick each token together: the best token, or a drawn token.

    token_bytes: of each id; an id beyond them has none. steps: a list to which the logits [S, V]
    of every step are appended. max_reasoning_tokens: reasoning that goes on after so many tokens
    is ended by the tokens of the end mark.
    """
    sample = sample or Sample(())
    tokens: list[int] = []
    logprobs: list[float] = []
    reason = None
    forced: list[int] = []
    weights = torch.tensor([(sample.confidences or ())[: len(prompts)]])
    while reason is None:
        logits = torch.stack(
            [reference_logits(model, p, tokens, method, sample.num_manual or 0) for p in prompts]
        )
        if steps is not None:
            steps.append(logits)
        fusion = "own" if len(prompts) == 1 else method.fusion
        scores = FUSIONS[fusion](logits[None], weights)[0]
        reasons = reference_end(tokens, rules, token_bytes)[1]
        if not reasons or max_reasoning_tokens is None or len(tokens) < max_reasoning_tokens:
            forced = []
        elif not forced and rules.marks:
            forced = list(rules.marks.end_ids)
        picked = reference_pick(scores, draw, len(tokens)) if draw else int(scores.argmax())
        tokens.append(forced.pop(0) if forced else picked)
        logprobs.append(float(scores[tokens[-1]]))
        reason = reference_end(tokens, rules, token_bytes)[0]
        if reason is None and len(tokens) == max_new_tokens:
            reason = LENGTH
    return Generation(tuple(tokens), tuple(logprobs), reason)


def reference_end(
    tokens: Sequence[int], rules: EndRules, token_bytes: Sequence[bytes]
) -> tuple[str | None, bool]:
    """Return why tokens end an answer, None if they do not, and whether they are reasoning.

    Marks and stop strings are looked for in the bytes from where the text was last read to.
    """
    if tokens and tokens[-1] in rules.eos_ids:
        return EOS, False
    text = b"".join(token_bytes[i] if i < len(token_bytes) else b"" for i in tokens)
    place, reasons = 0, rules.begins_in_reasoning and rules.marks is not None
    while True:
        looked_for = [] if reasons else [(stop.encode(), stop_reason(stop)) for stop in rules.stop]
        if rules.marks:
            looked_for.append(((rules.marks.end if reasons else rules.marks.start).encode(), ""))
        starts = [(text.find(each, place), each, reason) for each, reason in looked_for]
        found = [(at + len(each), at, reason) for at, each, reason in starts if at >= 0]
        if not found:
            return None, reasons
        place, _, reason = min(found, key=lambda match: match[:2])
        if reason:
            return reason, False
        reasons = not reasons


def reference_pick(scores: Tensor, draw: Draw, step: int) -> int:
    """Draw one token of the nucleus: the one with the largest sum of tempered log-score and noise.

    A token is in the nucleus if the probabilities of all more probable tokens add up to less than
    top_p. Of equal sums the first token wins.
    """
    temperature, top_p = draw.sampling.temperature, draw.sampling.top_p
    probabilities = (scores.double() / temperature).softmax(dim=-1).tolist()
    noisy = {}
    for token, probability in enumerate(probabilities):
        if top_p == 1 or math.fsum(p for p in probabilities if p > probability) < top_p:
            noise = reference_noise(draw.seed, step, token)
            noisy[token] = float(scores[token]) / temperature + noise
    return max(noisy, key=noisy.__getitem__)


def reference_noise(seed: int, step: int, token: int) -> float:
    """Standard Gumbel noise of a token, from 31 bits.

    Two tokens share one 64-bit output; the first of them has its lower half.
    """
    output = splitmix(splitmix(seed, step), token // 2)
    bits = output >> 32 * (token % 2) & 0x7FFFFFFF
    return -math.log(-math.log1p(-(bits + 0.5) / 2**31))


def splitmix(seed: int, number: int) -> int:
    """Output `number` of a seed's SplitMix64 sequence (Steele et al. 2014), 64 bits."""
    bits = (1 << 64) - 1
    z = (seed + (number + 1) * 0x9E3779B97F4A7C15) & bits
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & bits
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & bits
    return z ^ (z >> 31)
