"""The identity of a model: a commit where there is one, else the files themselves."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from common.errors import StopRun
from common.model_files import folder_identity
from common.models import ModelSource, find_model
from tests.worker.checkpoints import configured, copied, with_tensors
from worker.model import loader
from worker.model.loader import load_model

COMMIT = "0123456789abcdef0123456789abcdef01234567"
HUB = ModelSource("owner--name", "hub", "owner/name")


@pytest.fixture
def hub_cache(monkeypatch, tmp_path, tiny_model):
    """This host's hub cache, with the tiny model as owner/name at a commit."""
    folder = tmp_path / "hub" / "models--owner--name"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(COMMIT)
    shutil.copytree(tiny_model, folder / "snapshots" / COMMIT)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return folder


def test_a_hub_model_is_its_commit(hub_cache):
    loaded = load_model(HUB, "float32", "cpu")
    assert loaded.identity == f"owner/name@{COMMIT}"
    assert loaded.files.stamp == {}


def test_tokenizer_and_weights_are_of_one_commit_though_the_hub_moves_on(hub_cache, monkeypatch):
    """What `main` names changes between the two reads."""
    tokenizer = loader.AutoTokenizer.from_pretrained

    def then_moved(*arguments, **options):
        read = tokenizer(*arguments, **options)
        (hub_cache / "refs" / "main").write_text("f" * 40)
        return read

    monkeypatch.setattr(loader.AutoTokenizer, "from_pretrained", then_moved)
    assert load_model(HUB, "float32", "cpu").identity == f"owner/name@{COMMIT}"


def test_a_hub_id_that_is_a_folder_on_this_worker_has_no_constant_identity(
    tmp_path, monkeypatch, tiny_model
):
    """transformers takes a folder of that name in the working directory for the model."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny_model, Path("owner") / "name")
    one = load_model(HUB, "float32", "cpu").identity
    assert one == folder_identity(tiny_model)
    with_tensors(lambda t: {name: tensor * 2 for name, tensor in t.items()})(Path("owner/name"))
    assert load_model(HUB, "float32", "cpu").identity != one


def test_a_hub_model_that_is_not_here_says_what_was_tried(hub_cache):
    with pytest.raises(StopRun, match=r"tried the hub id owner/other .*hf download"):
        load_model(ModelSource("o", "hub", "owner/other"), "float32", "cpu")


def test_another_configuration_is_another_model(tiny_model, tmp_path):
    changed = copied(tiny_model, tmp_path / "m", configured(rms_norm_eps=0.01))
    identities = {
        load_model(find_model(str(folder)), "float32", "cpu").identity
        for folder in (tiny_model, changed)
    }
    assert len(identities) == 2


def test_files_that_change_while_they_are_loaded_are_refused(tiny_model, tmp_path, monkeypatch):
    folder = copied(tiny_model, tmp_path / "m", lambda folder: None)
    read_model = loader._read_model

    def then_replaced(*arguments):
        read = read_model(*arguments)
        with_tensors(lambda t: {name: tensor * 2 for name, tensor in t.items()})(folder)
        return read

    monkeypatch.setattr(loader, "_read_model", then_replaced)
    with pytest.raises(StopRun, match=r"model\.safetensors of .* changed while loading"):
        load_model(find_model(str(folder)), "float32", "cpu")


OTHER = "f" * 40


@pytest.fixture
def two_commits(hub_cache, tiny_model):
    """The cache with another commit of owner/name, which the branch `pr/3` names."""
    copied(tiny_model, hub_cache / "snapshots" / OTHER, configured(rms_norm_eps=0.01))
    (hub_cache / "refs" / "pr").mkdir()
    (hub_cache / "refs" / "pr" / "3").write_text(OTHER)
    return hub_cache


@pytest.mark.parametrize(
    ("revision", "commit"), [(None, COMMIT), ("main", COMMIT), ("pr/3", OTHER), (OTHER, OTHER)]
)
def test_a_revision_is_resolved_to_its_commit_from_which_everything_is_read(
    two_commits, revision, commit
):
    loaded = load_model(replace(HUB, revision=revision), "float32", "cpu")
    assert loaded.identity == f"owner/name@{commit}"
    assert (loaded.model.config.rms_norm_eps == 0.01) == (commit == OTHER)


def test_a_branch_that_moves_while_it_is_read_is_still_one_commit(two_commits, monkeypatch):
    tokenizer = loader.AutoTokenizer.from_pretrained

    def then_moved(*arguments, **options):
        read = tokenizer(*arguments, **options)
        (two_commits / "refs" / "pr" / "3").write_text(COMMIT)
        return read

    monkeypatch.setattr(loader.AutoTokenizer, "from_pretrained", then_moved)
    loaded = load_model(replace(HUB, revision="pr/3"), "float32", "cpu")
    assert loaded.identity == f"owner/name@{OTHER}"


def test_an_unknown_revision_is_one_sentence_that_names_it(hub_cache):
    with pytest.raises(StopRun, match=r"tried the hub id owner/name at revision v9") as stopped:
        load_model(replace(HUB, revision="v9"), "float32", "cpu")
    assert "\n" not in str(stopped.value)


def test_a_folder_of_the_models_name_has_no_revisions(tmp_path, monkeypatch, tiny_model):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny_model, Path("owner") / "name")
    with pytest.raises(StopRun, match=r"owner/name is a folder .* has no revisions"):
        load_model(replace(HUB, revision="main"), "float32", "cpu")
