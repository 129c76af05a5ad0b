"""Llama 4: queries scaled by their place in the row, not by their position."""

from typing import Any

from common.errors import StopRun
from worker.model.config_facts import ConfigFacts, register_family


def refuse_temperature_tuning(config: Any, facts: ConfigFacts) -> ConfigFacts:
    """Raise StopRun if a layer without rotation scales queries within the model's positions.

    `attn_temperature_tuning` begins to scale at the `floor_scale`-th token of a row.
    """
    tunes = config.attn_temperature_tuning and not all(config.no_rope_layers)
    if tunes and config.floor_scale <= (facts.max_positions or config.floor_scale):
        raise StopRun(
            "models of the family llama4 cannot be used here: attn_temperature_tuning scales "
            f"queries by how many tokens lie before them in the row, from {config.floor_scale} "
            "on, not by their position, so an answer would change with its neighbours"
        )
    return facts


register_family("llama4_text", refuse_temperature_tuning)
