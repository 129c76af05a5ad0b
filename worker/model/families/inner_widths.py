"""Families whose configs name the width of the MLP's inner layer in their own way."""

from dataclasses import replace
from functools import partial
from typing import Any

from worker.model.config_facts import ConfigFacts, inner_size, register_family

_NAMES = {
    "ctrl": "dff",
    "gpt2": "n_inner",
    "gpt_bigcode": "n_inner",
    "moshi": "ffn_dim",
    "opt": "ffn_dim",
}


def read_inner_width(name: str, config: Any, facts: ConfigFacts) -> ConfigFacts:
    """Return facts with the inner width that the config calls `name`."""
    return replace(facts, inner_size=inner_size(config, name))


for model_type, name in _NAMES.items():
    register_family(model_type, partial(read_inner_width, name))
