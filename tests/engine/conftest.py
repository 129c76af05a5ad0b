"""Fixtures of the engine's tests: tiny engines, and recorders of what real code computes."""

import copy
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest
from families import FAMILIES, make_config, make_model, make_tokenizer
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from common.models import find_model
from worker.engine import reference
from worker.engine.attention import SdpaKernel
from worker.engine.decode import Batch
from worker.engine.engine import Engine
from worker.weights import Loaded, load_model


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
        options = {"kernel": SdpaKernel()} | (engine or {})
        return Engine(model, tokenizers[bos], **options)

    return make


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> dict[int, list[Tensor]]:
    """What `Batch.logits` gave: for each ensemble, in order, logits [S, V] of every step."""
    steps: dict[int, list[Tensor]] = defaultdict(list)
    original = Batch.logits

    def logits(batch: Batch, model: PreTrainedModel) -> Tensor:
        computed = original(batch, model)
        for group in batch.groups:
            for number, rows in zip(group.ids.tolist(), group.rows, strict=True):
                steps[number].append(computed[rows].clone())
        return computed

    monkeypatch.setattr(Batch, "logits", logits)
    return steps


@pytest.fixture
def reference_logits(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """What `reference.reference_logits` gave: logits [V], call by call."""
    given: list[Tensor] = []
    original = reference.reference_logits

    def logits(*arguments: Any) -> Tensor:
        given.append(original(*arguments))
        return given[-1]

    monkeypatch.setattr(reference, "reference_logits", logits)
    return given


@pytest.fixture
def fed_tokens() -> Callable[[PreTrainedModel], list[int]]:
    """Watch a model: the number of tokens of every call to its body."""

    def watch(model: PreTrainedModel) -> list[int]:
        lengths: list[int] = []

        def note(module: Any, args: Any, kwargs: Any) -> None:
            lengths.append(kwargs["input_ids"].shape[1])

        model.base_model.register_forward_pre_hook(note, with_kwargs=True)
        return lengths

    return watch


@pytest.fixture(scope="session")
def smollm2() -> Loaded:
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
