"""The decoder layers of a model, whatever its family calls them."""

from typing import Any

from torch import nn
from transformers import PreTrainedModel


def decoder_layers(model: PreTrainedModel) -> list[nn.Module]:
    """The decoder layers in their order: `layers`, GPT-2's `h`, those of a nested text model.

    [] where no list of modules in the decoder is as long as the config says.
    """
    number = getattr(model.config.get_text_config(decoder=True), "num_hidden_layers", None)
    decoder: Any = model.get_decoder()
    for module in decoder.modules():
        if isinstance(module, nn.ModuleList) and len(module) == number:
            return list(module)
    return []
