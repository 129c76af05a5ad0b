"""producer.prompt_notes, known_templates: what is said of a model and its prompts, and refused."""

import json
import re

import pytest

from common.errors import UsageError
from common.models import ModelSource, find_model
from producer.known_templates import KnownTemplate
from producer.model_files import model_folders
from producer.prepare import prepare
from tests.common.storekit import all_files

PLAIN, SWITCH = "{{ messages }}", "{% if enable_thinking %}<think>{% endif %}"
REASONER = "{{ '<think>' }}{{ content.split('</think>') }}"
INSTRUCT = "looks like an instruct model; --prompt chat asks it by its own chat template"


@pytest.fixture(autouse=True)
def no_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path):
    """Make a model folder with tokenizer files, and a template if one is given."""

    def make(template=None, name="mine"):
        path = tmp_path / name
        path.mkdir(parents=True)
        (path / "tokenizer_config.json").write_text("{}")
        if template is not None:
            (path / "chat_template.jinja").write_text(template)
        return str(path)

    return make


@pytest.fixture
def cached(folder):
    """Put a hub model into this host's cache."""

    def make(hub_id, template=None, commit="c0ffee"):
        folder(template, f"hub/models--{hub_id.replace('/', '--')}/snapshots/{commit}")
        return hub_id

    return make


@pytest.mark.parametrize(
    "name",
    ["llama3.2_3b_it", "qwen3_4b", "deepseek_r1_distill_qwen_14b", "smollm2_135m_it",
     "google/gemma-2-2b-it", "meta-llama/Llama-2-7b-chat-hf", "mistralai/Mistral-7B-Instruct-v0.3",
     "Qwen/Qwen3-0.6B", "deepseek-ai/DeepSeek-R1"],
)  # fmt: skip
def test_an_instruct_model_is_known_by_its_name(ask, store, name):
    slug = find_model(name).slug
    assert f"{slug} {INSTRUCT}" in prepare(ask(model=name), store).notes


@pytest.mark.parametrize(
    "name", ["llama3.2_3b", "qwen2.5_3b", "Qwen/Qwen3-4B-Base", "o/kit-7b", "o/chatty", "it/base"]
)
def test_a_base_model_has_no_note(ask, store, name):
    assert prepare(ask(model=name), store).notes == ()


@pytest.mark.parametrize("template", [PLAIN, None])
def test_a_folder_is_an_instruct_model_if_it_holds_a_template(ask, store, folder, template):
    notes = prepare(ask(model=folder(template)), store).notes
    assert notes == ((f"mine {INSTRUCT}",) if template else ())


def test_so_is_a_cached_model_that_is_not_registered(ask, store, cached):
    assert prepare(ask(model=cached("o/m", PLAIN)), store).notes == (f"o--m {INSTRUCT}",)
    cached("Qwen/Qwen2.5-3B", PLAIN)  # a base model that has one
    assert prepare(ask(model="qwen2.5_3b"), store).notes == ()


def test_a_prompt_file_is_a_persons_own_choice_and_so_is_the_prompt_of_paraphrases(
    ask, store, tmp_path, jsonl
):
    (tmp_path / "mine.toml").write_text("question = '{question}'")
    request = ask(model="qwen3_4b", prompt=str(tmp_path / "mine.toml"))
    assert prepare(request, store).notes == ()
    bare = jsonl([{"question": "who?", "answers": ["a"]}])
    request = ask(model="qwen3_4b", data=bare, methods=(), step="paraphrases")
    assert prepare(request, store).notes == ()


def test_a_template_is_found_in_each_place_where_it_may_stand(tmp_path, folder):
    listed = [{"name": "rag", "template": "other"}, {"name": "default", "template": "one"}]
    places = {
        "a": ("tokenizer_config.json", json.dumps({"chat_template": "one"})),
        "b": ("tokenizer_config.json", json.dumps({"chat_template": listed})),
        "c": ("chat_template.jinja", "one"),
        "d": ("additional_chat_templates/rag.jinja", "one"),
    }
    for name, (file, text) in places.items():
        path = tmp_path / name
        folder(name=name)
        (path / file).parent.mkdir(exist_ok=True)
        (path / file).write_text(text)
        assert KnownTemplate.read(find_model(str(path))).text == "one"


@pytest.mark.parametrize("content", ["", "[1]", '{"chat_template": 3}', '{"chat_template": [3]}'])
def test_a_damaged_file_holds_no_template(tmp_path, folder, content):
    path = folder()
    (tmp_path / "mine" / "tokenizer_config.json").write_text(content)
    assert KnownTemplate.read(find_model(path)).text == ""


def test_a_chat_with_a_model_that_has_no_template_is_refused_before_anything_exists(
    ask, store, folder, cached
):
    for model in (folder(), cached("o/base-model")):
        with pytest.raises(
            UsageError, match=r"^--prompt chat needs a chat template, and the file"
        ):
            prepare(ask(model=model, prompt="chat"), store)
    assert all_files(store) == []


@pytest.mark.parametrize("name", ["o/away", "qwen2.5_3b"])
def test_a_model_whose_files_are_elsewhere_is_for_the_worker_to_refuse(ask, store, name):
    assert prepare(ask(model=name, prompt="chat"), store).notes == ()


def test_a_cache_that_may_lack_a_file_is_no_proof_against_an_instruct_model(ask, store, cached):
    assert prepare(ask(model=cached("o/m-Instruct"), prompt="chat"), store).notes == ()


THINKING = [
    (SWITCH, "on", None),
    (SWITCH, "off", None),
    (PLAIN, "off", None),
    (PLAIN, "on", "has no switch"),
    (PLAIN, 7, "--thinking 7: .* has no switch"),
    (REASONER, "off", "cannot switch its reasoning off"),
    (REASONER, "on", None),
]


@pytest.mark.parametrize(("template", "thinking", "said"), THINKING)
def test_what_a_template_cannot_switch_is_said(ask, store, folder, template, thinking, said):
    notes = prepare(ask(model=folder(template), prompt="chat", thinking=thinking), store).notes
    assert len(notes) == (said is not None)
    if said:
        assert re.search(said, notes[0])


def test_a_reasoning_model_that_is_elsewhere_is_known_by_its_name(ask, store):
    (note,) = prepare(ask(model="deepseek_r1_distill_llama_8b", prompt="chat"), store).notes
    assert "cannot switch its reasoning off" in note


def test_the_files_of_a_revision_are_those_of_its_commit(cached, tmp_path):
    for commit in ("aaa", "bbb"):
        cached("o/m", commit, commit)
    refs = tmp_path / "hub" / "models--o--m" / "refs"
    (refs / "pr").mkdir(parents=True)
    (refs / "main").write_text("bbb")
    (refs / "pr" / "3").write_text("aaa")

    def commits(revision):
        model = ModelSource("o--m", "hub", "o/m", revision)
        return [path.name for path in model_folders(model)]

    assert [commits(r) for r in (None, "main", "pr/3", "aaa")] == [
        ["bbb"],
        ["bbb"],
        ["aaa"],
        ["aaa"],
    ]
    assert commits("unknown") == commits("pr") == []
