"""common.models: the registry's names, hub ids, local directories and nonsense."""

from pathlib import Path

import pytest

from common.broker import queue_of
from common.errors import UsageError
from common.models import DEFAULT_MODEL, REGISTRY, find_model
from common.run import RunKey

NAMES = [
    "llama3.2_1b", "llama3.2_1b_it", "llama3.2_3b", "llama3.2_3b_it",
    "llama3.1_8b", "llama3.1_8b_it", "llama3.1_70b",
    "qwen2.5_3b", "qwen2.5_3b_it", "qwen2.5_7b", "qwen2.5_7b_it", "qwen2.5_14b", "qwen2.5_14b_it",
    "qwen3_1.7b", "qwen3_4b", "qwen3_8b",
    "deepseek_r1_distill_llama_8b", "deepseek_r1_distill_qwen_14b",
    "deepseek_r1_distill_qwen_32b", "smollm2_135m_it",
]  # fmt: skip


def test_the_registry_holds_the_twenty_names_of_the_issue_and_no_other():
    assert len(NAMES) == 20
    assert sorted(REGISTRY) == sorted(NAMES)


def test_the_default_is_registered():
    assert DEFAULT_MODEL == "llama3.2_3b_it"
    assert DEFAULT_MODEL in REGISTRY


@pytest.mark.parametrize("name", NAMES)
def test_a_registered_name_is_its_own_slug_and_fits_into_a_run_key(name):
    source = find_model(name)
    assert source.slug == name
    assert RunKey("webqa", source.slug, "origin").model == name


def test_no_two_names_lead_to_the_same_weights():
    assert len({source.location for source in REGISTRY.values()}) == len(REGISTRY)


@pytest.mark.parametrize("name", [n for n in NAMES if n.endswith("_it")])
def test_instruction_tuned_names_lead_to_instruction_tuned_weights(name):
    assert "Instruct" in find_model(name).location


@pytest.mark.parametrize(
    ("hub_id", "slug"),
    [("someone/some-model", "someone--some-model"), ("a.b/C_d.1", "a.b--C_d.1"), ("0/1", "0--1")],
)
def test_a_hub_id_keeps_owner_and_name_in_its_slug(hub_id, slug):
    source = find_model(hub_id)
    assert (source.slug, source.kind, source.location) == (slug, "hub", hub_id)


@pytest.mark.parametrize(
    ("folder", "slug"),
    [("my-model", "my-model"), ("my model (v2)", "my-model-v2"), ("..hidden", "hidden")],
)
def test_a_local_directory_is_named_after_its_folder(tmp_path, folder, slug):
    (tmp_path / folder).mkdir()
    source = find_model(str(tmp_path / folder))
    assert (source.slug, source.kind) == (slug, "directory")
    assert source.location == str((tmp_path / folder).resolve())
    assert RunKey("webqa", source.slug, "origin").model == slug


def test_a_directory_here_goes_before_a_hub_id_of_the_same_form(tmp_path, monkeypatch):
    (tmp_path / "owner" / "model").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert find_model("owner/model").location == str(tmp_path / "owner" / "model")


def test_a_directory_below_home_may_be_written_with_a_tilde(tmp_path, monkeypatch):
    (tmp_path / "weights").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Path(find_model("~/weights").location) == tmp_path / "weights"


@pytest.mark.parametrize(
    "name",
    ["llama3.2", "x y", "a/b/c", "./nowhere", "/nowhere/at/all", "a/b\n", "-a/b", "a\0b", "é/b"],
)
def test_nonsense_is_refused_with_what_was_tried_and_what_is_registered(name):
    with pytest.raises(UsageError) as refused:
        find_model(name)
    message = str(refused.value)
    assert all(word in message for word in (repr(name), "directory", "hub id", *NAMES))


def test_an_empty_name_is_not_the_current_directory():
    with pytest.raises(UsageError):
        find_model("")


@pytest.mark.parametrize("name", ["~no-such-user/model", "m" * 300])
def test_a_name_that_the_system_cannot_look_up_is_nonsense_too(name):
    with pytest.raises(UsageError):
        find_model(name)


COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("revision", "ending"),
    [("main", "main"), ("refs/pr/3", "refs+pr+3"), ("v1.0-rc_2", "v1.0-rc_2"), (COMMIT, COMMIT)],
)
def test_a_revision_is_part_of_the_slug_and_not_of_the_location(revision, ending):
    source = find_model("qwen3_4b", revision)
    assert (source.slug, source.revision) == (f"qwen3_4b+{ending}", revision)
    assert source.location == find_model("qwen3_4b").location
    assert RunKey("webqa", source.slug, "origin").model == source.slug


def test_no_two_revisions_have_one_slug():
    """As `a/b` and `a-b` would, were `/` written as `-`."""
    revisions = ["a/b", "a-b", "a_b", "a.b", "ab"]
    assert len({find_model("o/m", revision).slug for revision in revisions}) == len(revisions)


@pytest.mark.parametrize("name", [*NAMES[:3], "someone/some-model"])
def test_revisions_of_a_model_share_its_queue(name):
    assert queue_of(find_model(name, "refs/pr/3")) == queue_of(find_model(name))


@pytest.mark.parametrize(
    "revision", ["", "/a", "-a", "a b", "a..b", "..", "a+b", "a\n", "é", "a@b", "a~1", "a:b"]
)
def test_what_can_be_no_revision_is_refused(revision):
    with pytest.raises(UsageError, match=r"--revision .* may hold letters, digits and"):
        find_model("qwen3_4b", revision)


def test_a_folder_and_a_bundled_model_have_no_revisions(tmp_path):
    for name, what in ((str(tmp_path), "a folder"), ("smollm2_135m_it", "bundled in a Python")):
        with pytest.raises(UsageError, match=f"--revision main needs a model of the hub.*{what}"):
            find_model(name, "main")
