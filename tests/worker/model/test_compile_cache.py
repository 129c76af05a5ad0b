"""The compile cache: a folder for each process, kept when it is whole."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch._inductor.runtime.cache_dir_utils import cache_dir, triton_cache_dir

from worker.host import set_variables
from worker.model import compile_cache
from worker.model.compile_cache import HEADERS, INDUCTOR, TRITON, compiling, machine_key
from worker.model.own_folder import own_folder

ROOT = Path(__file__).parents[3]


@pytest.fixture
def no_cache_yet(monkeypatch, tmp_path):
    """A user's cache that is empty, and an environment that names none."""
    for name in (INDUCTOR, TRITON, HEADERS):
        monkeypatch.setenv(name, "set, so that it is put back")
        monkeypatch.delenv(name)
    monkeypatch.setattr(compile_cache, "_own", None)
    monkeypatch.setattr(compile_cache, "user_cache_path", lambda name: tmp_path / name)
    return tmp_path


def use_own_cache(slot):
    """As `worker.tasks` does before it imports the executor."""
    set_variables(compile_cache.claim_cache(slot))


def test_what_fails_to_compile_is_compiled_anew_at_the_next_start(tmp_path, monkeypatch):
    own = own_folder(tmp_path, 0)
    monkeypatch.setattr(compile_cache, "_own", own)
    with pytest.raises(RuntimeError), compiling():
        raise RuntimeError("C++ compile error")
    assert own.unfinished.exists()


def test_torch_and_triton_compile_into_the_folder(no_cache_yet, caplog):
    with caplog.at_level(logging.INFO):
        use_own_cache(2)
    folder = no_cache_yet / "self-ensemble" / "compiled" / machine_key() / "slot-2"
    assert cache_dir() == str(folder)
    assert triton_cache_dir(0) == str(folder / "triton")
    assert f"compiled code is kept in {folder}" in caplog.text


def test_the_main_process_which_children_have_their_environment_from_has_no_torch():
    """Importing it sets the variable that says where compiled code is kept, for all of them."""
    code = "import sys, os, worker.app, worker.tasks; print('torch' in sys.modules)"
    process = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert process.stdout == "False\n"


def test_torch_does_what_the_variables_say_when_it_comes_after_them(no_cache_yet):
    code = (
        "from worker.host import set_variables;"
        "from worker.model.compile_cache import claim_cache; set_variables(claim_cache(1));"
        "import torch._dynamo, torch._inductor.config as config;"
        "from torch._inductor.runtime.cache_dir_utils import cache_dir;"
        "from worker.manager import _precompile_headers_if_allowed as apply; apply();"
        "print(cache_dir(), config.cpp_cache_precompile_headers)"
    )
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    environment = {**os.environ, **threads, "XDG_CACHE_HOME": str(no_cache_yet)}
    process = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    root = no_cache_yet / "self-ensemble" / "compiled"
    assert process.stdout == f"{root / machine_key() / 'slot-1'} False\n", process.stderr


def test_headers_that_all_processes_would_share_are_not_precompiled(no_cache_yet):
    use_own_cache(0)
    assert os.environ[HEADERS] == "0"


def test_a_folder_that_the_environment_names_is_left_alone(no_cache_yet, monkeypatch):
    monkeypatch.setenv(INDUCTOR, "/somewhere/else")
    use_own_cache(0)
    assert os.environ[INDUCTOR] == "/somewhere/else"
    assert TRITON not in os.environ
    assert HEADERS not in os.environ
    assert not (no_cache_yet / "self-ensemble").exists()


def test_a_triton_folder_that_the_environment_names_stays(no_cache_yet, monkeypatch):
    monkeypatch.setenv(TRITON, "/somewhere/else")
    use_own_cache(0)
    assert os.environ[TRITON] == "/somewhere/else"


def test_where_no_folder_can_be_made_the_work_goes_on_and_it_is_said(no_cache_yet, caplog):
    (no_cache_yet / "self-ensemble").write_text("in the way")
    use_own_cache(0)
    assert Path(os.environ[INDUCTOR]).is_dir()
    assert "compiled code is not kept for the next start" in caplog.text
    with compiling():
        pass


def test_the_folder_tells_versions_apart_and_is_one_name():
    key = machine_key()
    assert f"torch{torch.__version__}" in key
    assert f"python{sys.version_info.major}.{sys.version_info.minor}." in key
    assert "/" not in key
    assert " " not in key


def test_code_compiled_for_other_numbers_of_threads_is_kept_apart():
    threads = torch.get_num_threads()
    keys = set()
    for number in (1, 2, 3):
        torch.set_num_threads(number)
        keys.add(machine_key())
    torch.set_num_threads(threads)
    assert len(keys) == 3
