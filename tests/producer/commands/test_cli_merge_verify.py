"""`producer merge` and `producer verify`: what they say, and how they end."""

import pytest

from common.store import StoreFilesystem, list_parts, merge_run
from tests.common.storekit import make_run, put_part

RUN = "quiz/owner--model/origin"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SELF_ENSEMBLE_STORE", str(tmp_path / "runs"))
    return StoreFilesystem.open(str(tmp_path / "runs"))


def test_merge_says_where_the_file_is_and_what_is_in_it(command, folder):
    run = make_run(folder, 7)
    put_part(run, range(7), failed=[3])
    result = command("merge", RUN)
    assert (result.status, result.err) == (0, "")
    assert result.out == f"{run.feather_path}: 7 samples, 1 failed\n"
    assert folder.exists(run.feather)


def test_merge_partial_says_that_it_is_partial(command, folder):
    run = make_run(folder, 7)
    put_part(run, [0, 5])
    result = command("merge", RUN, "--partial")
    assert result.status == 0
    assert result.out == f"{run.feather_path}: 2 samples, 0 failed, PARTIAL: 7 expected\n"


def test_merge_says_when_choices_were_mixed(command, folder):
    run = make_run(folder, 7)
    put_part(run, range(3), choices={"dtype": "float32"})
    put_part(run, range(3, 7), choices={"dtype": "bfloat16"})
    out = command("merge", RUN).out
    assert "mixed choices" in out
    assert '"bfloat16", "samples": 4' in out


def test_verify_ends_with_0_when_the_manifest_holds(command, folder):
    run = make_run(folder, 7)
    put_part(run, range(7))
    merge_run(run)
    result = command("verify", RUN)
    assert result == (0, f"{RUN}: the manifest holds\n", "")


def test_verify_ends_with_1_and_names_what_does_not_hold(command, folder):
    run = make_run(folder, 7)
    put_part(run, range(4))
    put_part(run, range(4, 7))
    merge_run(run)
    folder.delete(list_parts(run)[1])
    result = command("verify", RUN)
    assert result.status == 1
    assert "found: the file claims 7, the parts give 4\n" in result.out
    assert "holds\n" not in result.out
