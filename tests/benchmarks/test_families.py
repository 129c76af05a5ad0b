"""The survey of families: its verdicts, its instrument, and the page that it writes."""

import os
import re
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from benchmarks.families import survey
from benchmarks.families.__main__ import main
from benchmarks.families.page import MARK, write_page
from benchmarks.families.sizes import tiny_config
from benchmarks.families.survey import Surveyed, families, verdict
from benchmarks.families.variants import SHORT_WINDOW, with_short_windows
from benchmarks.families.verdict import Verdict, judge
from worker.engine.attention.sdpa import SdpaBackend

PAGE = Path(__file__).parents[2] / "docs" / "models.md"

REPRESENTATIVE = (
    "llama",
    "gemma2",
    "gemma3_text",
    "glm4",
    "gpt2",
    "deepseek_v3",
    "roberta",
    "lfm2",
    "doge",
    "diffllama",
    "mamba",
    "musicgen",
)


def stated() -> dict[str, list[str]]:
    """The headings of the page under which each family stands."""
    headings: dict[str, list[str]] = {}
    heading = ""
    for line in PAGE.read_text().partition(MARK)[2].splitlines():
        heading = line.removeprefix("## ") if line.startswith("## ") else heading
        if row := re.match(r"\| `(\S+)` \|", line):
            headings.setdefault(row[1], []).append(heading)
    return headings


HEADINGS = {"exact": "Answered exactly", "refused": "Refused", "not built": "Not built"}


def test_the_page_lists_every_family_of_the_installed_transformers_once():
    assert sorted(stated()) == families()
    assert {len(headings) for headings in stated().values()} == {1}


def test_no_family_and_no_variant_is_answered_wrongly():
    assert {heading for (heading,) in stated().values()} == set(HEADINGS.values())
    variants = PAGE.read_text().partition("## Variants")[2].splitlines()[4:]
    verdicts = [row.split(" | ")[2] for row in variants]
    assert len(verdicts) > 50
    assert set(verdicts) <= set(HEADINGS)


@pytest.mark.parametrize("family", REPRESENTATIVE)
def test_a_family_gets_the_verdict_that_the_page_states(family):
    assert stated()[family] == [HEADINGS[verdict(family, {}).kind]]


@pytest.mark.parametrize(
    "changes",
    [
        {"attention_chunk_size": 32},
        {"attn_temperature_tuning": True, "floor_scale": 16, "attn_scale": 2.0},
    ],
)
def test_chunks_and_scales_by_index_are_refused(changes):
    assert verdict("llama4_text", changes).kind == "refused"


@pytest.mark.parametrize("family", ["mistral", "gemma2"])
def test_prompts_past_a_sliding_window_are_answered_exactly(family):
    assert verdict(family, {"sliding_window": SHORT_WINDOW}) == Verdict("exact")


def test_a_prompt_past_the_window_of_a_cache_is_refused():
    """Moshi's attention has no window, and the cache of its generate drops keys past one."""
    assert verdict("moshi", {"sliding_window": 34}).kind == "refused"


def test_another_scale_is_no_exact_answer(monkeypatch):
    original = SdpaBackend.__call__

    def scaled_up(self, query, key, value, mask, scaling, softcap=None):
        return original(self, query, key, value, mask, 1.2 * scaling, softcap)

    monkeypatch.setattr(SdpaBackend, "__call__", scaled_up)
    assert judge(tiny_config("llama")).kind in ("wrong", "refused")


def test_a_verdict_does_not_wait_for_threads_that_only_the_parent_has():
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        large = torch.ones(700, 700)
        assert bool((large @ large).sum() > 0)
        assert verdict("llama", {}).kind == "exact"
    finally:
        torch.set_num_threads(threads)


def test_a_process_that_hangs_or_dies_is_an_error_of_that_family_alone(monkeypatch):
    assert verdict("llama", {}, seconds=0.001) == Verdict(
        "error", "no verdict after 0.001 seconds"
    )
    monkeypatch.setattr(survey, "judge", lambda config: os._exit(3))
    assert verdict("llama", {}) == Verdict("error", "the process ended with exit code 3")


def test_a_tiny_configuration_keeps_a_layer_of_every_kind():
    kinds = tiny_config("gemma3_text").layer_types
    assert kinds == ["sliding_attention", "sliding_attention", "full_attention"]
    short = with_short_windows("gemma3_text")
    assert short is not None
    assert short.changes == {"sliding_window": 34}
    assert with_short_windows("llama") is None


def test_the_tables_replace_what_stands_behind_the_mark(tmp_path):
    page = tmp_path / "models.md"
    page.write_text(f"# Models\n\n{MARK}\nold\n")
    rows = [
        Surveyed("llama", "Llama", "", Verdict("exact")),
        Surveyed("mamba", "Mamba", "", Verdict("refused", "it has a | state")),
        Surveyed("llama", "Llama", "yarn", Verdict("exact")),
    ]
    write_page(page, rows, "transformers 9")
    assert page.read_text().splitlines() == [
        "# Models", "", MARK, "",
        "transformers 9: 2 families, 1 exact, 1 refused.", "",
        "## Answered exactly", "", "| family | class |", "|---|---|", "| `llama` | Llama |", "",
        "## Refused", "", "| family | class | reason |", "|---|---|---|",
        "| `mamba` | Mamba | it has a / state |", "",
        "## Variants", "", "| variant of | with | verdict | reason |", "|---|---|---|---|",
        "| llama | yarn | exact |  |",
    ]  # fmt: skip


def test_a_page_without_the_mark_is_left_alone(tmp_path):
    page = tmp_path / "other.md"
    page.write_text("# Other\n")
    with pytest.raises(OSError, match="holds no line"):
        write_page(page, [], "")
    assert page.read_text() == "# Other\n"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--only", "lama"], "has no causal family of this model_type"),
        (["--only", "llama", "--write", str(PAGE)], "--write needs all families"),
    ],
)
def test_arguments_that_cannot_be_are_refused_before_anything_is_built(arguments, sentence):
    result = CliRunner().invoke(main, arguments)
    assert (result.exit_code, sentence in result.output) == (2, True)


def test_a_wrong_family_is_named_and_fails_the_command(monkeypatch):
    surveyed = Surveyed("llama", "LlamaForCausalLM", "yarn", Verdict("wrong", "3 of 12"))
    monkeypatch.setattr("benchmarks.families.__main__.survey", lambda names: [surveyed])
    result = CliRunner().invoke(main, ["--only", "llama"])
    assert result.exit_code == 1
    assert "1 neither exact nor refused in a sentence: llama (yarn)" in result.output
