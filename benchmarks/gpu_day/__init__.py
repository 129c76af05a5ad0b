"""GPU day: measure everything of interest in about eight minutes of one GPU.

    python -m benchmarks.gpu_day --out DIR

A supervisor runs stages. Each stage is a process group with a hard limit; each row of a stage has
a soft limit. Every result is a JSON line that is on the disk before the next row begins, so a hung
kernel, a poisoned CUDA context or the end of the loan costs only what was not yet measured. The
supervisor (`supervisor`, `lines`, `table`) imports neither torch nor the project; the modules of
`stages` do.
"""
