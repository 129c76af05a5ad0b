"""Benchmarks: one command per claim.

Each command prints a table for people and, as its last line, one JSON document. Machines are
noisy: compare figures of one run, not of two.
"""

from worker.host import let_threads_wait

# As in `worker.app`, before torch is loaded.
let_threads_wait(processes=1)
