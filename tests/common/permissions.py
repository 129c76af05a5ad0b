"""Folders that may not be written or read, also where the tests run as root.

File permissions do not bind root because of two capabilities; they are laid down for a while.
"""

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_VERSION_3 = 0x20080522
_OVERRIDE_AND_READ_SEARCH = 0b110


class _Header(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


class _Capabilities(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint32) for name in ("effective", "permitted", "inheritable")]


@contextmanager
def _bound() -> Iterator[None]:
    """File permissions bind this thread inside the block."""
    if os.geteuid() != 0:
        yield
        return
    if sys.platform != "linux":
        pytest.skip("permissions do not bind root")
    libc = ctypes.CDLL(None, use_errno=True)
    header, capabilities = _Header(_VERSION_3, 0), (_Capabilities * 2)()
    assert libc.capget(ctypes.byref(header), capabilities) == 0
    before = capabilities[0].effective
    capabilities[0].effective = before & ~_OVERRIDE_AND_READ_SEARCH
    assert libc.capset(ctypes.byref(header), capabilities) == 0
    try:
        yield
    finally:
        capabilities[0].effective = before
        assert libc.capset(ctypes.byref(header), capabilities) == 0


@contextmanager
def allowing(folder: Path, mode: int) -> Iterator[None]:
    """The folder, with all folders below it, has `mode` inside the block, and it counts."""
    folders = [p for p in folder.rglob("*") if p.is_dir()] + [folder]
    for path in folders:
        path.chmod(mode)
    try:
        with _bound():
            yield
    finally:
        for path in reversed(folders):
            path.chmod(0o755)
