"""How the threads of torch wait for each other; imports no torch, which reads it when loaded.

Decoding is thousands of short parallel regions a second. GNU OpenMP's threads spin before they
sleep: too long, and several processes on one host slow each other down; not at all, and every
region waits for its threads to wake up.
"""

import os

_SPINS = "1000"
"""About ten microseconds; libgomp's own 300,000 are milliseconds. 100,000 are a twelfth faster on
an idle host, and four times slower beside a program that keeps a core busy (performance.md)."""


def let_threads_wait(processes: int) -> None:
    """Set for processes started from here, unless the environment says it already.

    processes: that compute side by side on this host.
    """
    if "OMP_WAIT_POLICY" in os.environ or "GOMP_SPINCOUNT" in os.environ:
        return
    if processes == 1:
        os.environ["GOMP_SPINCOUNT"] = _SPINS
    else:
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
