"""Cascade attention gives what a naive attention over all keys gives.

Eagerly and compiled; grouped queries 3:1, odd lengths, with and without resident keys.
"""

import pytest
from test_engine_kernels import PACKS, assert_naive

from worker.engine.cascade_kernel import CascadeKernel, compiled_attend_rows

KERNELS = {"eager": CascadeKernel(), "compiled": CascadeKernel(compiled_attend_rows())}


@pytest.mark.parametrize("resident", [False, True], ids=["fresh", "resident"])
@pytest.mark.parametrize("name", [*PACKS, "pieces"])
@pytest.mark.parametrize("kernel", KERNELS)
def test_the_cascade_equals_naive_attention(kernel, name, resident):
    lengths, prefix = PACKS.get(name, ((613, 5, 257), 31))
    assert_naive(KERNELS[kernel], lengths, prefix, resident)
