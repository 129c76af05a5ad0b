"""GPU day: everything worth knowing from about eight minutes of one GPU.

    python -m benchmarks.gpu_day --out DIR

A supervisor runs stages, each a process group of its own with a hard limit; each row of a stage
has a soft limit. Every result is a JSON line that is on the disk before the next row begins, so a
hung kernel, a poisoned CUDA context or the end of the loan costs what was not measured yet, and
nothing else. The supervisor (`supervisor`, `lines`, `table`) imports neither torch nor the
project; the packages below `stages` do.
"""
