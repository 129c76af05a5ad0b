"""Facts of a config, and quirks of families that are registered from outside."""

import ast
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import (
    CONFIG_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    GemmaConfig,
    MistralConfig,
    MistralForCausalLM,
)
from transformers.masking_utils import create_causal_mask, sliding_window_overlay
from transformers.models.mistral import modeling_mistral

import worker
from common.errors import StopRun
from tests.worker.engine.families import _COMMON, make_config
from worker.model import geometry
from worker.model.config_facts import ConfigFacts, RopeTable, read_config, register_family
from worker.model.geometry import geometry_of

FOLDER = Path(worker.__file__).parent


class LookBackConfig(MistralConfig):
    """A made-up family: its config names the window otherwise than transformers does."""

    model_type = "made_up_look_back"
    look_back: int = 9
    sliding_window: int | None = None


class LookBackForCausalLM(MistralForCausalLM):
    config_class = LookBackConfig


def look_back(config, facts: ConfigFacts) -> ConfigFacts:
    return replace(facts, sliding_window=config.look_back)


def no_look_ahead(config, facts: ConfigFacts) -> ConfigFacts:
    raise StopRun("models of this family look ahead, which is not supported")


AutoConfig.register(LookBackConfig.model_type, LookBackConfig)
AutoModelForCausalLM.register(LookBackConfig, LookBackForCausalLM)


@pytest.fixture
def look_back_model(monkeypatch):
    """A model that builds its mask as no other family does; transformers tells no window of it."""

    def own_mask(config, **options):
        window = sliding_window_overlay(config.look_back)
        return create_causal_mask(config, and_mask_function=window, **options)

    monkeypatch.setattr(modeling_mistral, "create_causal_mask", own_mask)
    config = LookBackConfig(
        **_COMMON, hidden_size=36, num_attention_heads=6, num_key_value_heads=2
    )
    torch.manual_seed(7)
    return AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()


def test_a_family_s_quirk_is_one_registration_and_changes_its_geometry(look_back_model):
    limited = geometry_of(look_back_model)
    assert (limited.windows, limited.causal_positions) == ((None,) * 3, 9)
    register_family(LookBackConfig.model_type, look_back)
    computed = geometry._read(look_back_model)
    assert (computed.windows, computed.causal_positions) == ((9,) * 3, 499)


def test_a_quirk_may_refuse_by_a_sentence():
    class AheadConfig(MistralConfig):
        model_type = "made_up_look_ahead"

    register_family("made_up_look_ahead", no_look_ahead)
    with pytest.raises(StopRun, match="look ahead"):
        read_config(AheadConfig())


def test_a_second_quirk_of_a_family_is_an_error():
    with pytest.raises(ValueError, match="'gpt_oss' has a quirk already"):
        register_family("gpt_oss", no_look_ahead)


@pytest.mark.parametrize(
    ("family", "feature"),
    [
        ("gpt_oss", "attention sinks"),
        ("granite_swa", "attention sinks"),
        ("deepseek_v32", "sparse indices"),
        ("glm_moe_dsa", "sparse indices"),
        ("llama4", "attn_temperature_tuning"),
    ],
)
def test_a_feature_that_is_not_computed_is_refused_by_its_name(family, feature):
    config = CONFIG_MAPPING[family]()
    with pytest.raises(StopRun, match=f"family {family}.* cannot be used here: .*{feature}"):
        read_config(config)


@pytest.mark.parametrize(
    ("family", "changes", "width"),
    [
        ("llama", {"intermediate_size": 53}, 53),
        ("gpt2", {"n_embd": 36, "n_head": 6}, 144),
        ("gpt2", {"n_embd": 36, "n_head": 6, "n_inner": 35}, 35),
        ("opt", {"ffn_dim": 57}, 57),
        ("ctrl", {"dff": 77}, 77),
        ("gemma3n_text", {"intermediate_size": [48, 51, 49], "num_hidden_layers": 3}, 51),
    ],
)
def test_the_inner_width_is_found_under_each_family_s_name(family, changes, width):
    assert read_config(CONFIG_MAPPING[family](**changes)).inner_size == width


def test_what_a_config_does_not_name_is_none():
    facts = read_config(GemmaConfig())
    assert (facts.sliding_window, facts.attention_chunk, facts.softcap) == (None, None, None)
    assert facts.eos_ids == ()


def test_every_table_of_rotary_frequencies_is_named():
    yarn = {"rope_type": "yarn", "rope_theta": 1e4, "original_max_position_embeddings": 32}
    one = make_config("llama", rope_parameters=yarn | {"factor": 4.0})
    assert read_config(one).ropes == (RopeTable("yarn", 32, None),)
    several = read_config(CONFIG_MAPPING["gemma3"]()).ropes
    assert {rope.layer_type for rope in several} == {"sliding_attention", "full_attention"}


def test_ids_with_a_role_are_found_at_any_depth():
    config = CONFIG_MAPPING["gemma3"](image_token_index=301, eos_token_id=[3, 4])
    assert {301, 3, 4, 0} <= read_config(config).role_ids


@pytest.mark.parametrize("name", ["hidden_size", "num_hidden_layers"])
def test_a_config_without_a_size_that_every_model_has_is_refused(name):
    config = make_config("llama")
    setattr(config, name, 0)
    with pytest.raises(StopRun, match=f"it names no {name}"):
        read_config(config)


CONFIGS = ("model.config", "model.generation_config")
READERS = ("read_config", "DynamicCache")


def reads_config(parent: ast.AST, node: ast.AST) -> bool:
    """Whether a config is used otherwise than whole, or for the attention that it selects."""
    if not isinstance(node, ast.Attribute) or not ast.unparse(node).endswith(CONFIGS):
        return False
    if isinstance(parent, ast.Attribute):
        return parent.attr != "_attn_implementation"
    return not (isinstance(parent, ast.Call) and ast.unparse(parent.func) in READERS)


def test_no_other_module_reads_a_config_for_the_shape():
    """Quantisation and the settings of `generate` are no shape."""
    readers = set()
    for path in FOLDER.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        pairs = (
            (parent, child.value if isinstance(child, ast.keyword) else child)
            for parent in ast.walk(ast.parse(text))
            if not isinstance(parent, ast.keyword)
            for child in ast.iter_child_nodes(parent)
        )
        if "get_text_config" in text or any(reads_config(*pair) for pair in pairs):
            readers.add(path.relative_to(FOLDER).as_posix())
    assert readers == {"model/config_facts.py", "model/gguf.py", "model/beyond_greedy.py"}
