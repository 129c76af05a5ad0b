"""Registered models beside the machines that hold them: sizes from configs, nothing measured.

    python -m benchmarks.families.machines

prints a table of docs/models.md. `architectures.jsonl` has, in the names of `config.json`, the
numbers that the registered models of each row share.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click
import torch
from transformers import CONFIG_MAPPING, AutoModelForCausalLM

from benchmarks.families.page import markdown_table
from benchmarks.options import Benchmark
from worker.engine.budget import GIB, cache_bytes_within
from worker.engine.scheduler import logit_bytes

OWN_TOKENS = 300
"""Tokens of a sequence behind what all prompts begin with, its answer included."""

_BFLOAT16, _FLOAT32 = 2, 4
_GB = 10**9
_HOST = 2 * GIB
"""Left to the operating system, Redis and the programs themselves."""


class ModelSize(NamedTuple):
    """Sizes of an architecture.

    names: registered models that have it. token_numbers: elements in one token's keys and values,
    over all layers. vocabulary: width of the logits.
    """

    names: tuple[str, ...]
    parameters: int
    token_numbers: int
    vocabulary: int


class ModelHost(NamedTuple):
    """A machine of one model process.

    device: "cuda" or "cpu". memory: bytes that weights, keys, values and activations may take.
    element: bytes of one number.
    """

    name: str
    device: str
    memory: int
    element: int


MACHINES = (
    *(ModelHost(f"GPU {n} GB", "cuda", n * _GB, _BFLOAT16) for n in (24, 40, 80)),
    *(ModelHost(f"CPU {n} GiB", "cpu", n * GIB - _HOST, _BFLOAT16) for n in (16, 32)),
    *(ModelHost(f"CPU {n} GiB, float32", "cpu", n * GIB - _HOST, _FLOAT32) for n in (16, 32)),
)


def model_sizes() -> Iterator[ModelSize]:
    """Yield the sizes of each architecture of `architectures.jsonl`."""
    lines = (Path(__file__).parent / "architectures.jsonl").read_text(encoding="utf-8")
    for row in map(json.loads, lines.splitlines()):
        yield size_of(row["models"], row["config"])


def size_of(names: Iterable[str], values: dict[str, Any]) -> ModelSize:
    """Count the parameters of a model without weights. values: of its `config.json`."""
    config = CONFIG_MAPPING[values["model_type"]](**values)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    width = values.get("head_dim") or values["hidden_size"] // values["num_attention_heads"]
    return ModelSize(
        names=tuple(names),
        parameters=sum(weight.numel() for weight in model.parameters()),
        token_numbers=2 * config.num_hidden_layers * config.num_key_value_heads * width,
        vocabulary=config.vocab_size,
    )


def num_sequences(model: ModelSize, machine: ModelHost) -> int:
    """Return how many sequences decode at once by default; 0 if weights and one do not fit."""
    free = machine.memory - machine.element * model.parameters
    if free <= 0:
        return 0
    keys_and_values = OWN_TOKENS * machine.element * model.token_numbers
    needed = keys_and_values + logit_bytes(model.vocabulary)
    return cache_bytes_within(free, machine.device) // needed


def machine_table() -> Iterator[str]:
    """Yield the lines of the table of docs/models.md."""
    sizes = "parameters", "weights, GiB", "KV a token, KiB"
    titles = ("model", *sizes, *(machine.name for machine in MACHINES))
    return markdown_table(titles, map(_cells, model_sizes()))


def _cells(model: ModelSize) -> list[str]:
    return [
        ", ".join(f"`{name}`" for name in model.names),
        f"{model.parameters / 1e9:.2f} billion",
        f"{_BFLOAT16 * model.parameters / GIB:.2f}",
        f"{_BFLOAT16 * model.token_numbers / 1024:g}",
        *(str(num_sequences(model, machine) or "-") for machine in MACHINES),
    ]


@click.command(cls=Benchmark)
def main() -> None:
    """Print how many sequences each registered model decodes at once, by machine."""
    for line in machine_table():
        click.echo(line)


if __name__ == "__main__":
    main()
