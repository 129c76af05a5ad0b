"""common.model_files: which files decide what a model answers, and their identity."""

import json
import os
import shutil

import pytest

from common.model_files import differing, folder_identity, model_files, stamp_of

DECIDING = {
    "model-00001-of-00002.safetensors": "weights",
    "model.safetensors.index.json": '{"weight_map": {}}',
    "config.json": '{"hidden_size": 8, "transformers_version": "5.17.0"}',
    "generation_config.json": '{"eos_token_id": 2}',
    "tokenizer.json": "{}",
    "tokenizer_config.json": "{}",
    "tokenizer.model": "pieces",
    "special_tokens_map.json": "{}",
    "added_tokens.json": "{}",
    "vocab.json": "{}",
    "merges.txt": "a b",
    "chat_template.jinja": "{{ messages }}",
    "additional_chat_templates/tools.jinja": "{{ tools }}",
}
PASSED_OVER = ("README.md", "pytorch_model.bin", "optimizer.pt", "trainer_state.json")


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "model"
    (folder / "additional_chat_templates").mkdir(parents=True)
    for name, text in DECIDING.items():
        (folder / name).write_text(text)
    return folder


def test_the_deciding_files_are_found_and_no_others(folder):
    for name in PASSED_OVER:
        (folder / name).write_text("other")
    assert {str(path.relative_to(folder)) for path in model_files(folder)} == set(DECIDING)


@pytest.mark.parametrize("name", DECIDING)
def test_every_deciding_file_is_part_of_the_identity(folder, name):
    before = folder_identity(folder)
    (folder / name).write_text(DECIDING[name] + " ")
    changed = folder_identity(folder)
    (folder / name).unlink()
    gone = folder_identity(folder)
    # A space after a JSON document says nothing else.
    same = name in ("config.json", "generation_config.json", "tokenizer_config.json")
    assert (changed == before) == same
    assert gone not in (before, changed)


@pytest.mark.parametrize("name", PASSED_OVER)
def test_other_files_are_no_part_of_the_identity(folder, name):
    before = folder_identity(folder)
    (folder / name).write_text("other")
    assert folder_identity(folder) == before


def test_a_copy_elsewhere_touched_since_is_the_same_model(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "elsewhere" / "copy")
    for path in model_files(copy):
        os.utime(path, (1, 1))
    assert folder_identity(copy) == folder_identity(folder)
    assert differing(stamp_of(copy), stamp_of(folder)) == sorted(DECIDING)


def test_who_wrote_a_configuration_changes_nothing_and_what_it_says_does(folder):
    before = folder_identity(folder)
    for fields, same in (({"hidden_size": 8}, True), ({"hidden_size": 9}, False)):
        text = json.dumps({"transformers_version": "5.18.0", **fields})
        (folder / "config.json").write_text(text)
        assert (folder_identity(folder) == before) == same


def test_two_files_whose_contents_change_places_are_another_model(folder):
    before = folder_identity(folder)
    (folder / "vocab.json").write_text(DECIDING["merges.txt"])
    (folder / "merges.txt").write_text(DECIDING["vocab.json"])
    assert folder_identity(folder) != before


def test_a_folder_that_is_not_there_has_no_files(tmp_path):
    assert stamp_of(tmp_path / "gone") == {}
