"""producer.special_tokens: text that a tokenizer reads as a token of its own."""

import json

import pytest

from common.models import ModelSource, find_model
from common.records import Sample
from producer.prepare import prepare
from producer.special_tokens import SpecialTokens, known_tokens

AWAY = ModelSource("away", "hub", "nobody/away")


def spelled_in(model, *texts):
    special = SpecialTokens.read(model)
    samples = [Sample((text,), ("a",), f"id-{n}") for n, text in enumerate(texts)]
    assert list(special.watch(samples, lambda: "its row")) == samples
    return special.notes()


@pytest.fixture
def model(tmp_path):
    """A folder whose files name tokens in each of the ways that are in use."""
    folder = tmp_path / "mine"
    folder.mkdir()
    tokens = [
        {"content": "<|own|>", "special": True},
        {"content": "<not-special>", "special": False},
        {"content": "word", "special": True},
        {"content": "#", "special": True},
    ]
    (folder / "tokenizer.json").write_text(json.dumps({"added_tokens": tokens}))
    config = {
        "eos_token": {"content": "</end>"},
        "bos_token": "<begin>",
        "pad_token": None,
        "added_tokens_decoder": {"7": {"content": "[DECODED]", "special": True}},
        "unk_token_id": 3,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return find_model(str(folder))


def test_the_tokens_of_a_model_are_read_from_its_files(model):
    """What begins as a word does is text to people, and so is a single letter."""
    assert known_tokens(model) == {"<|own|>", "</end>", "<begin>", "[DECODED]"}


@pytest.mark.parametrize("token", ["<|own|>", "</end>", "<begin>", "[DECODED]"])
def test_the_first_question_that_spells_one_is_named_and_all_are_counted(model, token):
    (note,) = spelled_in(model, "plain?", f"is {token} one?", f"{token}{token}", "a <b> c [d]")
    assert "2 of 4 questions spell special tokens, the first in its row (uuid id-1): " in note
    assert repr(token) in note
    assert "the tokenizer of mine reads such text as the token it names" in note


@pytest.mark.parametrize("text", ["<s> is of another model", "<not-special> word # <|other|>"])
def test_tokens_of_other_models_are_text_where_the_models_own_are_known(model, text):
    assert spelled_in(model, text) == ()


@pytest.mark.parametrize(
    "token",
    ["<s>", "</s>", "<|endoftext|>", "<|im_end|>", "[INST]", "<bos>", "<eos>", "<start_of_turn>",
     "<unk>", "<|start_header_id|>", "<｜end▁of▁sentence｜>", "<<SYS>>"],
)  # fmt: skip
def test_common_spellings_are_looked_for_where_the_model_is_not_here(token):
    (note,) = spelled_in(AWAY, f"what is {token}?")
    assert f"{token!r}; if they are of away, too, its tokenizer reads them as such" in note


@pytest.mark.parametrize(
    "text", ["a < b > c", "[MASK] is [X]", "<|>", "i <3 |you|>", "<sub>2</sub>"]
)
def test_plain_text_has_no_note(text):
    assert spelled_in(AWAY, text) == ()


def test_the_hub_cache_of_this_host_knows_the_tokens(tmp_path, monkeypatch):
    folder = tmp_path / "models--nobody--away" / "snapshots" / "c0ffee"
    folder.mkdir(parents=True)
    (folder / "tokenizer_config.json").write_text('{"eos_token": "<fin>"}')
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    assert known_tokens(AWAY) == {"<fin>"}


@pytest.mark.parametrize(
    "content", ["", "[1]", "{", '{"added_tokens": 3}', '{"added_tokens": [1]}']
)
def test_a_damaged_file_is_for_the_worker_to_refuse(model, content, tmp_path):
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / "mine" / name).write_text(content)
    assert known_tokens(model) == set()


def test_enqueueing_notes_it_with_the_place_in_the_file(ask, store, jsonl):
    rows = [{"question": f"q {n}?", "paraphrases": ["p", "r"], "answers": ["a"]} for n in range(9)]
    rows[6]["paraphrases"][1] = "what does <|endoftext|> mean?"
    notes = prepare(ask(data=jsonl(rows), methods=("origin", "avg")), store).notes
    (note,) = [note for note in notes if "special tokens" in note]
    assert "1 of 9 questions" in note
    assert "questions.jsonl" in note
    assert "'<|endoftext|>'" in note


def test_examples_that_spell_one_are_noted_too(ask, store, jsonl):
    shots = jsonl([{"question": "is it?", "answers": ["</s>"]}], "shots.jsonl")
    notes = prepare(ask(few_shot=shots, num_few_shot=1), store).notes
    assert any("instruction or examples spell" in note and "'</s>'" in note for note in notes)
