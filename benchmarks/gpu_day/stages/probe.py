"""The probe: the machine, and the rates that other stages are compared with."""

import os
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version

import torch

from benchmarks.gpu_day.stages.bench import Bench
from benchmarks.gpu_day.stages.rows import Figures, Rows
from benchmarks.report import describe_torch
from benchmarks.roofline import LinearShapes, copy_rate, decode_seconds, prefill_rate

_PACKAGES = ("triton", "tokenizers", "numpy", "pydantic", "platformdirs", "accelerate")
_LAUNCHES = 2000
_SMI = "driver_version,clocks.sm,clocks.mem,clocks.max.sm,power.draw,power.limit,temperature.gpu"


def probe(bench: Bench, rows: Rows) -> None:
    """Measure versions, then rates, then the cost of a launch."""
    device = bench.device
    rows.measure("machine", 20, _machine, bench)
    rows.measure("copy", 20, lambda: {"GB/s": copy_rate(device) / 1e9})
    rows.measure("matmul", 20, _matmul, bench)
    for number in (64, 320, 1300):
        rows.measure(f"decode products, {number} rows", 10, _decode_products, bench, number)
    rows.measure("launch", 10, _launch, bench)


def _machine(bench: Bench) -> Figures:
    gpu = _gpu(bench.device) if bench.on_gpu else {}
    described = describe_torch()
    return {
        "processor": described["processor"],
        "GPU": gpu.get("name"),
        "details": {
            **described,
            **{name: _version(name) for name in _PACKAGES},
            "gcc": shutil.which("gcc"),
            "cores of this process": len(os.sched_getaffinity(0)),
            "float32 products": torch.get_float32_matmul_precision(),
            "bfloat16 sums": torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction,
            **gpu,
        },
    }


def _matmul(bench: Bench) -> Figures:
    return {"TFLOP/s": prefill_rate(bench.config, torch.bfloat16, bench.device) / 1e12}


def _decode_products(bench: Bench, number: int) -> Figures:
    shapes = LinearShapes.of(bench.config)
    return {"ms": 1e3 * decode_seconds(shapes, number, torch.bfloat16, bench.device)}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _gpu(device: torch.device) -> Figures:
    properties = torch.cuda.get_device_properties(device)
    command = ["nvidia-smi", f"--query-gpu={_SMI}", "--format=csv,noheader"]
    return {
        "name": properties.name,
        "multiprocessors": properties.multi_processor_count,
        "GPU GiB": properties.total_memory / 2**30,
        "free GiB": torch.cuda.mem_get_info(device)[0] / 2**30,
        "L2 bytes": properties.L2_cache_size,
        "CUDA": torch.version.cuda,
        "cuDNN": torch.backends.cudnn.version(),
        _SMI: subprocess.run(command, capture_output=True, text=True).stdout.strip(),
    }


def _launch(bench: Bench) -> Figures:
    """Microseconds of the smallest operation, on the host and in all."""
    number = torch.zeros(8, device=bench.device)
    host, all_of_it = bench.milliseconds(lambda: number.add_(1), _LAUNCHES)
    return {"us on the host": 1e3 * host, "us": 1e3 * all_of_it}
