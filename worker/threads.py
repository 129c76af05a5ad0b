"""How the threads of torch wait for each other; imports no torch, which reads it when loaded.

Decoding is thousands of short parallel regions a second. GNU OpenMP's threads spin before they
sleep: too long, and several processes on one host slow each other down; not at all, and every
region waits for its threads to wake up.
"""

import os

_SPINS = "100000"
"""About a millisecond, a third of what libgomp does by itself. On 2 cores, `flex_attention` of 64
samples answered 1.6 times as many questions a second as with threads that sleep at once
(docs/performance.md); beside a program that took both cores it was many times slower."""


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
