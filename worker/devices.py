"""What this host computes with. Counts GPUs without importing torch, which only children do."""

import os
import shutil
import subprocess


def default_processes() -> int:
    """One model-holding process per GPU that this host lets us see, else one."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return max(1, len([gpu for gpu in visible.split(",") if gpu.strip() not in ("", "-1")]))
    return max(1, _listed_gpus())


def _listed_gpus() -> int:
    if not shutil.which("nvidia-smi"):
        return 0
    listed = subprocess.run(
        ["nvidia-smi", "--list-gpus"], capture_output=True, text=True, timeout=30, check=False
    )
    return sum(line.startswith("GPU ") for line in listed.stdout.splitlines())
