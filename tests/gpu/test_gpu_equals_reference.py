"""Every method, layout and attention backend on the device equals the reference on the CPU."""

from functools import cache

import pytest
import torch

from benchmarks.gpu_day.stages.recording_engine import RecordingEngine
from common.methods import CONFIDENCE, METHODS, PARAPHRASES
from tests.worker.engine.families import MANY, known, make_request, packed_prompts, reference_ends
from worker.engine.attention.backend import FLEX_MIN_TOKENS
from worker.engine.attention.choose import BUILT_IN, find_backend
from worker.engine.reference import reference_decode

GREEDY = [name for name, method in METHODS.items() if method not in (CONFIDENCE, PARAPHRASES)]

FLOAT32 = 1e-3
"""Largest difference of a logit; logits of the tiny model have a standard deviation of about 2."""

BFLOAT16 = 0.05
"""Root mean square of the differences, over the standard deviation of the logits.

Weights and activations have 8 significant bits, over three layers with large weights.
"""


QUESTIONS = [known(sample) for sample in MANY]


@pytest.fixture(scope="session")
def reference(tiny_model, tokenizer):
    """By layout and method: (answer, logits of its steps) of every answer to all questions."""
    model = tiny_model()
    ends = reference_ends(tokenizer, make_request())

    @cache
    def answers(layout, name):
        request = make_request(name, layout=layout)
        return [
            decoded(question, packed, request)
            for question in QUESTIONS
            for packed in packed_prompts(tokenizer, question, request)
        ]

    def decoded(question, packed, request):
        (method,), steps = request.methods, []
        answer = reference_decode(
            model, packed, method, *ends, request.max_new_tokens, question, steps=steps
        )
        return answer, torch.stack(steps)

    return answers


@pytest.mark.parametrize("backend", [backend.name for backend in BUILT_IN])
@pytest.mark.parametrize("layout", ["concat", "shared"])
def test_every_method_gives_the_references_tokens_in_float32(
    layout, backend, device, tiny_model, tokenizer, reference
):
    engine = RecordingEngine(tiny_model().to(device), tokenizer, find_backend(backend))
    request = make_request(*GREEDY, layout=layout)
    output = engine.run(QUESTIONS, request)
    assert output.stats.prefill_tokens >= FLEX_MIN_TOKENS
    recorded = engine.logits_of(QUESTIONS, request)
    for name in GREEDY:
        generations = [each for answers in output.answers for each in answers.generations[name]]
        logits = [each for by_method in recorded for each in by_method[name]]
        answers = zip(generations, logits, reference(layout, name), strict=True)
        for got, got_logits, (wanted, wanted_logits) in answers:
            assert (got.tokens, got.finish_reason) == (wanted.tokens, wanted.finish_reason), name
            torch.testing.assert_close(got_logits, wanted_logits, atol=FLOAT32, rtol=0)


@pytest.mark.parametrize("backend", [backend.name for backend in BUILT_IN])
def test_bfloat16_is_as_near_to_the_float32_reference_as_its_rounding_allows(
    backend, device, tiny_model, tokenizer, reference
):
    model = tiny_model().to(torch.bfloat16)
    engine = RecordingEngine(model.to(device), tokenizer, find_backend(backend))
    request = make_request(*GREEDY)
    engine.run(QUESTIONS, request)
    pairs = zip(
        engine.logits_of(QUESTIONS, request), reference("concat", "flex_attention"), strict=True
    )
    # The first token alone: after a token that rounding changes, the others have another past.
    both = [(by_method["flex_attention"][0][0], logits[0]) for by_method, (_, logits) in pairs]
    got, wanted = (torch.cat(each) for each in zip(*both, strict=True))
    error = (got - wanted).square().mean().sqrt() / wanted.std()
    assert 0 < error < BFLOAT16
