"""Device and dtype of a model, chosen from the settings or else from what the host has."""

import torch

from worker.model.resolved_setting import ResolvedSetting


def choose_device(setting: str, slot: int) -> ResolvedSetting:
    """slot: number of this process among its host's, so that each takes a GPU of its own."""
    if setting != "auto":
        return ResolvedSetting(setting, "SELF_ENSEMBLE_DEVICE asks for it")
    if torch.cuda.is_available():
        gpu = slot % torch.cuda.device_count()
        return ResolvedSetting(f"cuda:{gpu}", f"process {slot} takes GPU {gpu} of this host")
    return ResolvedSetting("cpu", "torch sees no GPU")


def device_name(device: str) -> str:
    """What the device is, whatever its number: `cpu`, or the GPU's product name."""
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else device


def choose_dtype(asked: str, device: str) -> ResolvedSetting:
    """bfloat16 where the processor computes it natively, else float32."""
    if asked != "auto":
        return ResolvedSetting(asked, "--dtype asks for it")
    if device.startswith("cuda"):
        native, where = torch.cuda.is_bf16_supported(including_emulation=False), "this GPU"
    else:
        native, where = _cpu_computes_bfloat16(), "this processor"
    if native:
        return ResolvedSetting("bfloat16", f"{where} computes it natively")
    return ResolvedSetting("float32", f"{where} does not compute bfloat16 natively")


def _cpu_computes_bfloat16() -> bool:
    able = torch.cpu.get_capabilities()
    return any(able.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))
