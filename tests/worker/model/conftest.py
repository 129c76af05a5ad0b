"""Loads changed copies of the tiny model, and shares fixtures of the engine's tests."""

import pytest

from common.models import find_model
from tests.worker.checkpoints import copied
from tests.worker.engine.conftest import (  # noqa: F401
    bos,
    compare,
    plain_copy,
    recorded,
    reference_logits,
    tokenizers,
)
from worker.model.loader import load_model
from worker.model.model_place import load_tokenizer


@pytest.fixture
def load(tiny_model, tmp_path):
    """Load a changed copy of the tiny model."""

    def load(change):
        return load_model(
            find_model(str(copied(tiny_model, tmp_path / "m", change))), "float32", "cpu"
        )

    return load


@pytest.fixture(scope="session")
def smollm2():
    """The tokenizer of the packaged model."""
    return load_tokenizer(find_model("smollm2_135m_it"))
