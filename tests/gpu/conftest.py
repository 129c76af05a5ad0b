"""Fixtures of the tests that need a GPU: they skip where torch sees none.

`GPU_TESTS_DEVICE=cpu` rehearses them on a CPU, except those about CUDA itself. They import nothing
that a lent GPU machine lacks, such as Celery, so they run without the fixtures of `tests`:

    python -m pytest tests/gpu --confcutdir tests/gpu
"""

import os
from collections.abc import Callable

import pytest
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from tests.worker.engine.families import make_config, make_model, make_tokenizer

HEAD_DIM = 16
"""The least that FlexAttention takes on a GPU."""


@pytest.fixture(scope="session")
def device() -> torch.device:
    device = torch.device(os.environ.get("GPU_TESTS_DEVICE", "cuda"))
    if device.type == "cuda" and not torch.cuda.is_available():
        pytest.skip("torch sees no GPU here")
    return device


@pytest.fixture(scope="session")
def cuda(device: torch.device) -> torch.device:
    """A device that is a GPU, for tests about CUDA itself."""
    if device.type != "cuda":
        pytest.skip("needs CUDA; this is a rehearsal on a CPU")
    return device


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    return make_tokenizer(bos=True)


@pytest.fixture(scope="session")
def tiny_model() -> Callable[[], PreTrainedModel]:
    """Makes the tiny Llama on the CPU, in float32; two of them are equal."""
    return lambda: make_model(make_config("llama", head_dim=HEAD_DIM))
