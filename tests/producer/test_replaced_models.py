"""producer.staleness: files of a model that were replaced since its run was answered."""

import json
import os
import shutil

import pytest

from common.errors import UsageError
from common.model_files import folder_identity, stamp_of
from common.run import RunKey
from common.store import list_parts, open_run
from producer import staleness
from producer.prepare import prepare
from tests.common.storekit import put_part


@pytest.fixture
def model(tmp_path):
    """Enough of a model's folder for a producer, which reads no tensor."""
    folder = tmp_path / "models" / "mine"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"hidden_size": 8}')
    (folder / "model.safetensors").write_bytes(b"first weights")
    return folder


def answered(ask, store, model, rows=range(11), **changes):
    """Runs of that model, pinned as a worker pins them, with some rows answered."""
    runs = prepare(ask(model=str(model), **changes), store).runs
    for run in runs:
        run.pin_model(folder_identity(model), stamp_of(model))
        if rows:
            put_part(run, rows, model_identity=folder_identity(model))
    return runs


@pytest.mark.parametrize("rows", [range(11), [0, 1]], ids=["complete", "begun"])
@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_changed_folder_is_reported_before_anything_is_sent(ask, store, model, rows, name):
    answered(ask, store, model, rows)
    (model / name).write_text("other content")
    with pytest.raises(UsageError) as refused:
        prepare(ask(model=str(model)), store)
    message = str(refused.value)
    assert f"model folder {model} has changed since run quiz/mine/avg-3 was answered" in message
    assert f"differs in size or time is {name}. " in message
    assert "--overwrite" in message
    assert "old files back" in message


def test_what_was_asked_for_beside_an_answered_run_is_not_begun_either(ask, store, model):
    answered(ask, store, model)
    (model / "model.safetensors").write_bytes(b"other weights")
    with pytest.raises(UsageError, match="has changed"):
        prepare(ask(model=str(model), methods=("avg", "origin")), store)
    with pytest.raises(UsageError, match="not in the store"):
        open_run(store, RunKey("quiz", "mine", "origin"))


def test_overwrite_begins_anew(ask, store, model):
    (run,) = answered(ask, store, model)
    (model / "model.safetensors").write_bytes(b"other weights")
    prepared = prepare(ask(model=str(model), overwrite=True), store)
    assert list_parts(run) == []
    assert run.pinned_model() is None
    assert prepared.messages


def test_the_old_files_put_back_are_the_old_model(ask, store, model):
    answered(ask, store, model)
    aside = shutil.copytree(model, model.with_name("aside"))
    (model / "model.safetensors").write_bytes(b"other weights")
    shutil.copyfile(aside / "model.safetensors", model / "model.safetensors")
    assert prepare(ask(model=str(model)), store).messages == ()


def test_files_that_were_only_touched_are_hashed_once_and_noted(ask, store, model, monkeypatch):
    hashed = []
    monkeypatch.setattr(
        staleness, "folder_identity", lambda folder: hashed.append(1) or folder_identity(folder)
    )
    answered(ask, store, model, methods=("avg", "origin"))
    for path in model.iterdir():
        os.utime(path, (1, 1))
    for _ in range(2):
        assert prepare(ask(model=str(model), methods=("avg", "origin")), store).messages == ()
    assert len(hashed) == 1


def test_a_folder_as_it_was_is_not_read(ask, store, model, monkeypatch):
    answered(ask, store, model)
    monkeypatch.setattr(staleness, "folder_identity", lambda _: pytest.fail("hashed"))
    assert prepare(ask(model=str(model)), store).messages == ()


def test_a_run_without_answers_loses_its_pin_to_old_weights(ask, store, model):
    """As after a damaged file was reported and then repaired."""
    (run,) = answered(ask, store, model, rows=())
    (model / "model.safetensors").write_bytes(b"other weights")
    prepare(ask(model=str(model)), store)
    assert run.pinned_model() is None


def test_a_run_of_an_earlier_version_which_noted_no_files_is_left_alone(ask, store, model):
    (run,) = answered(ask, store, model)
    store.write_bytes(run.pin_path, json.dumps({"identity": "sha256:ab"}).encode())
    (model / "model.safetensors").write_bytes(b"other weights")
    assert prepare(ask(model=str(model)), store).messages == ()


def test_another_folder_of_that_name_is_no_change_of_the_first(ask, store, model, tmp_path):
    answered(ask, store, model)
    other = shutil.copytree(model, tmp_path / "others" / "mine")
    (other / "model.safetensors").write_bytes(b"other weights")
    with pytest.raises(UsageError, match="exists with another fingerprint: model is"):
        prepare(ask(model=str(other)), store)


def test_of_a_step_the_command_is_named_that_throws_it_away(ask, store, model):
    answered(ask, store, model, methods=(), step="confidence")
    (model / "model.safetensors").write_bytes(b"other weights")
    with pytest.raises(UsageError, match="Give --overwrite to `producer confidence` to throw"):
        prepare(ask(model=str(model), methods=("weighted_avg",), overwrite=True), store)
