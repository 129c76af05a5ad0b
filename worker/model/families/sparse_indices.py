"""Sparse indices (DeepSeek-V3.2 and others): an indexer picks the keys that a token sees."""

from typing import Any

from common.errors import StopRun
from worker.model.config_facts import ConfigFacts, register_family


def refuse_sparse_indices(config: Any, facts: ConfigFacts) -> ConfigFacts:
    """Raise StopRun, always: every model of these families has an indexer."""
    raise StopRun(
        f"models of the family {config.model_type} cannot be used here: their layers attend by "
        "sparse indices, which are not supported"
    )


for model_type in ("axk2", "deepseek_v32", "dots3_note_text", "glm_moe_dsa", "hy_v4"):
    register_family(model_type, refuse_sparse_indices)
