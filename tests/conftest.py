"""What several folders of tests need: a tiny model on disk, a broker, runs in a store."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, set_seed

from producer.local import embedded_broker


def write_questions(path: Path, rows: list[dict[str, object]]) -> Path:
    """A question file."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def numbered_questions(count: int, paraphrases: int = 3) -> list[dict[str, object]]:
    """Questions whose paraphrases differ in length from question to question."""
    return [
        {
            "uuid": f"id-{n:03d}",
            "question": f"what is {n}{' and so on' * (n % 3)}?",
            "paraphrases": [f"{'tell me ' * w}number {n} please?" for w in range(1, paraphrases)],
            "answers": [str(n), f"number {n}"],
        }
        for n in range(count)
    ]


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("SELF_ENSEMBLE_"):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama of odd sizes with a byte-level tokenizer, saved as a local directory."""
    folder = tmp_path_factory.mktemp("models") / "tiny-llama"
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=331,
        special_tokens=["<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(["what is the number? Q: A: answer the question"] * 9, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>")
    fast.save_pretrained(folder)
    set_seed(5)
    config = LlamaConfig(
        vocab_size=len(fast), hidden_size=36, intermediate_size=53, num_hidden_layers=3,
        num_attention_heads=6, num_key_value_heads=2, head_dim=6, max_position_embeddings=997,
        initializer_range=0.4, bos_token_id=0, eos_token_id=1, pad_token_id=1,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def broker_url() -> Iterator[str]:
    """An embedded server for the whole session."""
    with embedded_broker() as url:
        yield url


def assert_rows_alike(table: pa.Table, other: pa.Table) -> None:
    """Equal rows; floats, which depend on the batch in their last digits, to 1e-4."""
    floats: list[float] = []
    other_floats: list[float] = []
    assert _without_floats(table.to_pylist(), floats) == _without_floats(
        other.to_pylist(), other_floats
    )
    assert floats == pytest.approx(other_floats, abs=1e-4)


def _without_floats(value: Any, floats: list[float]) -> Any:
    """The value with a mark for each float in it; those are added to `floats`."""
    if isinstance(value, float):
        floats.append(value)
        return "a float"
    if isinstance(value, list):
        return [_without_floats(item, floats) for item in value]
    if isinstance(value, dict):
        return {key: _without_floats(item, floats) for key, item in value.items()}
    return value
