"""Free memory: control groups of both versions, and what says that memory ran out."""

import gc
import weakref
from types import SimpleNamespace

import pytest
import torch

from worker.model import memory
from worker.model.memory import free_memory, granted_by_cgroups, is_out_of_memory, release


@pytest.fixture
def cgroups(tmp_path):
    """Writes control groups: {"folder": {"file": text}}; returns (root, own)."""

    def make(own, groups):
        for folder, files in groups.items():
            (tmp_path / "cgroup" / folder).mkdir(parents=True, exist_ok=True)
            for name, text in files.items():
                (tmp_path / "cgroup" / folder / name).write_text(text)
        (tmp_path / "own").write_text(own)
        return tmp_path / "cgroup", tmp_path / "own"

    return make


def test_a_container_is_granted_its_limit_less_what_it_uses(cgroups):
    files = {"memory.max": "7001\n", "memory.current": "3002\n", "memory.stat": "anon 9\n"}
    assert granted_by_cgroups(*cgroups("0::/\n", {"": files})) == [3999]


def test_page_cache_that_the_system_can_reclaim_counts_as_left(cgroups):
    stat = "anon 2500\ninactive_file 502\nactive_file 7\n"
    files = {"memory.max": "7001", "memory.current": "3002", "memory.stat": stat}
    assert granted_by_cgroups(*cgroups("0::/\n", {"": files})) == [3999 + 502]


def test_a_limit_of_a_group_above_counts_too(cgroups):
    job = {"memory.max": "900", "memory.current": "100"}
    step = {"memory.max": "max", "memory.current": "100"}
    root, own = cgroups("0::/job/step\n", {"job": job, "job/step": step})
    assert granted_by_cgroups(root, own) == [800]


def test_groups_of_version_one_are_read_from_their_own_tree(cgroups):
    files = {
        "memory.limit_in_bytes": "5000", "memory.usage_in_bytes": "4000",
        "memory.stat": "inactive_file 1\ntotal_inactive_file 77\n",
    }  # fmt: skip
    own = "4:memory:/box\n1:cpu:/other\n0::/\n"
    assert granted_by_cgroups(*cgroups(own, {"memory/box": files})) == [1077]


def test_more_used_than_granted_leaves_nothing(cgroups):
    files = {"memory.max": "10", "memory.current": "11"}
    assert granted_by_cgroups(*cgroups("0::/\n", {"": files})) == [0]


@pytest.mark.parametrize("own", ["", "0::/\n", "0::/gone/away\n"])
def test_where_there_are_no_groups_nothing_is_limited(cgroups, own):
    assert granted_by_cgroups(*cgroups(own, {"": {}})) == []


def test_what_a_group_grants_goes_before_what_the_host_has(monkeypatch):
    host = SimpleNamespace(available=5000)
    monkeypatch.setattr(memory.psutil, "virtual_memory", lambda: host)
    for granted, free in (([], 5000), ([7000], 5000), ([7000, 300], 300)):
        monkeypatch.setattr(memory, "granted_by_cgroups", lambda granted=granted: granted)
        assert free_memory("cpu") == free


def test_a_gpu_is_asked_for_its_own_memory(monkeypatch):
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: {"cuda:3": (123, 999)}[device])
    assert free_memory("cuda:3") == 123


def cpu_allocator_error():
    """What this torch raises for more than any host has."""
    try:
        torch.empty(1 << 60, dtype=torch.uint8)
    except RuntimeError as error:
        return error
    raise AssertionError("this host has an exbibyte")


@pytest.mark.parametrize(
    "error",
    [
        cpu_allocator_error(),
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        torch.cuda.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`"),
    ],
    ids=["cpu", "python", "torch", "cuda", "cublas"],
)
def test_running_out_of_memory_is_recognised(error):
    assert is_out_of_memory(error)


class OfAnotherProgram(RuntimeError):
    pass


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("shape mismatch"),
        ValueError("out of memory"),
        RuntimeError("cannot tokenize 'why is my GPU out of memory?'"),
        RuntimeError("out of memory"),
        OfAnotherProgram("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("no kernel: CUDA error: out of memory"),
        None,
        {"avg": []},
    ],
)
def test_anything_else_is_not(error):
    assert not is_out_of_memory(error)


def test_what_the_allocator_of_a_cpu_raises_is_recognised():
    with pytest.raises(RuntimeError) as raised:
        torch.empty(1 << 50)
    assert is_out_of_memory(raised.value)


def test_a_released_error_holds_no_tensor_of_the_frames_it_came_through():
    tensors = []

    def fails():
        tensor = torch.zeros(3)
        tensors.append(weakref.ref(tensor))
        raise torch.OutOfMemoryError("CUDA out of memory")

    def wraps():
        try:
            fails()
        except RuntimeError as error:
            raise MemoryError("no more") from error

    with pytest.raises(MemoryError) as raised:
        wraps()
    error = raised.value
    del raised
    assert tensors[0]() is not None
    release(error)
    gc.collect()
    assert tensors[0]() is None
