"""Decoder layers of a model, found under any name that its family has for layers."""

from typing import Any

from torch import nn
from transformers import PreTrainedModel

from worker.model.config_facts import read_config


def decoder_layers(model: PreTrainedModel) -> list[nn.Module]:
    """Return the decoder layers in order: `layers`, GPT-2's `h`, or a nested text model's.

    [] if no list of modules in the decoder has as many entries as the config has layers.
    """
    number = read_config(model.config).num_layers
    decoder: Any = model.get_decoder()
    for module in decoder.modules():
        if isinstance(module, nn.ModuleList) and len(module) == number:
            return list(module)
    return []
