"""Attention sinks (gpt-oss and others): a learned score beside those of the keys.

The softmax of a sink takes part of the weight, which the engine does not compute.
"""

from typing import Any

from common.errors import StopRun
from worker.model.config_facts import ConfigFacts, register_family


def refuse_attention_sinks(config: Any, facts: ConfigFacts) -> ConfigFacts:
    """Raise StopRun, always: every model of these families has sinks."""
    raise StopRun(
        f"models of the family {config.model_type} cannot be used here: their layers have "
        "attention sinks, which are not supported"
    )


for model_type in ("flint", "gpt_oss", "granite_swa", "granitemoe_swa"):
    register_family(model_type, refuse_attention_sinks)
