"""Benchmarks: one command per claim. Each prints a table for people and, as its last line, one
JSON document. Machines are noisy: compare figures of one run, not of two.
"""

import os

# As a worker has it (`worker.app`), and like there before torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
