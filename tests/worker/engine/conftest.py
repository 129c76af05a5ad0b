"""Fixtures of the engine's tests: tiny engines, and recorders of what the code computes."""

import copy
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from common.models import find_model
from tests.worker.engine.answers import answers_of
from tests.worker.engine.families import (
    FAMILIES,
    known,
    make_config,
    make_model,
    make_tokenizer,
    packed_prompts,
    reference_ends,
)
from worker.engine import reference
from worker.engine.attention.sdpa import SdpaBackend
from worker.engine.decode_bucket import DecodeBucket
from worker.engine.engine import Engine
from worker.engine.model_runner import ModelRunner
from worker.engine.reference import reference_decode
from worker.engine.request import Request
from worker.model.loader import LoadedModel, load_model


@pytest.fixture(params=FAMILIES)
def family(request: Any) -> str:
    return request.param


@pytest.fixture(params=[False, True], ids=["no_bos", "bos"])
def bos(request: Any) -> bool:
    return request.param


@pytest.fixture(scope="session")
def tokenizers() -> dict[bool, PreTrainedTokenizerFast]:
    """The tiny tokenizer, by whether it adds a BOS."""
    return {bos: make_tokenizer(bos) for bos in (False, True)}


@pytest.fixture
def make_engine(tokenizers: dict[bool, PreTrainedTokenizerFast]) -> Callable[..., Engine]:
    """An engine of a tiny model; `changes` go to the model's config."""

    def make(family: str = "llama", bos: bool = False, engine: Any = None, **changes: Any):
        model = make_model(make_config(family, **changes))
        options = {"backend": SdpaBackend()} | (engine or {})
        return Engine(model, tokenizers[bos], **options)

    return make


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> dict[int, list[Tensor]]:
    """Logits [S, V] of every step for each ensemble, in order, by `ModelRunner.logits`."""
    steps: dict[int, list[Tensor]] = defaultdict(list)
    original = ModelRunner.logits

    def logits(runner: ModelRunner, bucket: DecodeBucket) -> Tensor:
        computed = original(runner, bucket)
        for batch in bucket.batches:
            for number, rows in zip(batch.ids.tolist(), batch.rows, strict=True):
                steps[number].append(computed[rows].clone())
        return computed

    monkeypatch.setattr(ModelRunner, "logits", logits)
    return steps


@pytest.fixture
def reference_logits(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """Results of `reference.reference_logits`: logits [V], call by call."""
    results: list[Tensor] = []
    original = reference.reference_logits

    def logits(*arguments: Any) -> Tensor:
        results.append(original(*arguments))
        return results[-1]

    monkeypatch.setattr(reference, "reference_logits", logits)
    return results


@pytest.fixture
def compare(
    recorded: dict[int, list[Tensor]], reference_logits: list[Tensor]
) -> Callable[..., None]:
    """Answer samples by engine and reference; compare tokens, log-probabilities, all logits."""

    def compared(engine: Engine, tokenizer: Any, samples: Any, request: Request) -> None:
        model = copy.deepcopy(engine.model)
        ends = reference_ends(tokenizer, request)
        (method,) = request.methods
        questions = [known(sample) for sample in samples]
        answers = [
            a for answer in answers_of(engine, questions, request) for a in answer[method.name]
        ]
        prompts = [(q, p) for q in questions for p in packed_prompts(tokenizer, q, request)]
        assert len(prompts) == len(answers) == len(recorded)
        for number, ((question, packed), got) in enumerate(zip(prompts, answers, strict=True)):
            reference_logits.clear()
            wanted = reference_decode(
                model, packed, method, *ends, request.max_new_tokens, question
            )
            assert (got.tokens, got.finish_reason) == (wanted.tokens, wanted.finish_reason)
            assert got.logprob == pytest.approx(wanted.logprob, abs=1e-4)
            steps = torch.stack(reference_logits).unflatten(0, (-1, len(packed)))
            torch.testing.assert_close(
                got.token_logprobs, wanted.token_logprobs, atol=1e-4, rtol=0
            )
            torch.testing.assert_close(torch.stack(recorded[number]), steps, atol=1e-4, rtol=0)

    return compared


@pytest.fixture(scope="session")
def smollm2() -> LoadedModel:
    """SmolLM2-135M-Instruct in float32; tests that use it are marked `model`."""
    return load_model(find_model("smollm2_135m_it"), "float32", "cpu")


@pytest.fixture
def plain_copy() -> Callable[[PreTrainedModel], PreTrainedModel]:
    """A copy of a model with transformers' own attention."""

    def copied(model: PreTrainedModel) -> PreTrainedModel:
        twin = copy.deepcopy(model)
        twin.set_attn_implementation("sdpa")
        return twin

    return copied


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    """Tiny tensors gain nothing from threads, which wait for each other on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
