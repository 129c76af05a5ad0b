"""Registered models and the machines that hold them: sizes, sequences, and the page's table."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.families.machines import MACHINES, main, model_sizes, num_sequences
from common.models import REGISTRY

PAGE = Path(__file__).parents[2] / "docs" / "models.md"
SIZES = {name: size for size in model_sizes() for name in size.names}
BY_NAME = {machine.name: machine for machine in MACHINES}

PUBLISHED = {
    "smollm2_135m_it": 134_515_008,
    "llama3.2_1b_it": 1_235_814_400,
    "llama3.2_3b": 3_212_749_824,
    "llama3.1_8b": 8_030_261_248,
    "llama3.1_70b": 70_553_706_496,
    "qwen2.5_3b_it": 3_085_938_688,
    "qwen2.5_7b": 7_615_616_512,
    "qwen2.5_14b": 14_770_033_664,
    "deepseek_r1_distill_qwen_32b": 32_763_876_352,
    "qwen3_4b": 4_022_468_096,
    "qwen3_8b": 8_190_735_360,
}
"""Parameters that the hub states, of the repositories that store each tensor once."""


def test_every_registered_model_has_one_row():
    names = [name for size in model_sizes() for name in size.names]
    assert sorted(names) == sorted(REGISTRY)


@pytest.mark.parametrize(("name", "parameters"), PUBLISHED.items())
def test_the_parameters_of_a_model_are_those_that_its_repository_states(name, parameters):
    assert SIZES[name].parameters == parameters


def test_sizes_of_a_model_are_worked_out_by_hand():
    """Llama 3.2 1B: 16 layers of 32 query and 8 key heads of 64, with a tied head."""
    attention = 2048 * (2048 + 512 + 512) + 2048 * 2048
    layer = attention + 3 * 2048 * 8192 + 2 * 2048
    size = SIZES["llama3.2_1b"]
    assert size.parameters == 128_256 * 2048 + 16 * layer + 2048 == 1_235_814_400
    assert size.token_numbers == 16 * 8 * (64 + 64) == 16_384


@pytest.mark.parametrize(
    ("name", "machine", "sequences"),
    [
        # A quarter of 21,528 MB, over 300 tokens of 32 KiB and six copies of float32 logits.
        ("llama3.2_1b", "GPU 24 GB", 5_382_092_800 // (300 * 32_768 + 24 * 128_256)),
        # A quarter of 11.7 GiB is more than a CPU decodes in, which is 2 GiB.
        ("llama3.2_1b", "CPU 16 GiB", 2_147_483_648 // (300 * 32_768 + 24 * 128_256)),
        # Of 14 GiB the weights leave 2.03, and a token takes 224 KiB.
        ("llama3.2_3b", "CPU 16 GiB, float32", 545_346_560 // (300 * 229_376 + 24 * 128_256)),
    ],
)
def test_sequences_beside_the_weights_are_worked_out_by_hand(name, machine, sequences):
    assert num_sequences(SIZES[name], BY_NAME[machine]) == sequences


@pytest.mark.parametrize(
    ("name", "machine"),
    [
        ("llama3.1_70b", "GPU 80 GB"),  # 131 GiB of weights
        ("llama3.1_8b", "CPU 32 GiB, float32"),  # 29.9 of 30 GiB, and a sequence takes 78 MiB
    ],
)
def test_a_model_that_leaves_no_room_for_a_sequence_has_none(name, machine):
    assert num_sequences(SIZES[name], BY_NAME[machine]) == 0


def test_the_page_holds_the_table_that_the_command_prints():
    printed = CliRunner().invoke(main, [], catch_exceptions=False).output
    assert len(printed.splitlines()) == 2 + len(set(SIZES.values()))
    assert f"\n\n{printed}\n" in PAGE.read_text()
