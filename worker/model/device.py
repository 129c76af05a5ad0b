"""Device and dtype of a model: from the settings, or else from the host's hardware."""

import torch

from worker.model.resolved_setting import ResolvedSetting


def choose_device(setting: str, slot: int) -> ResolvedSetting:
    """The device of the setting; for "auto" a GPU, or the CPU on a host without one.

    slot: number of this process on its host, so that each process takes a GPU of its own.
    """
    if setting != "auto":
        return ResolvedSetting(setting, "SELF_ENSEMBLE_DEVICE asks for it")
    if torch.cuda.is_available():
        gpu = slot % torch.cuda.device_count()
        return ResolvedSetting(f"cuda:{gpu}", f"process {slot} takes GPU {gpu} of this host")
    return ResolvedSetting("cpu", "torch sees no GPU")


def device_name(device: str) -> str:
    """The kind of a device, without its number: `cpu`, or the GPU's product name."""
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else device


def choose_dtype(setting: str, device: str) -> ResolvedSetting:
    """The dtype of the setting; for "auto" bfloat16 if the device computes it natively, else
    float32.
    """
    if setting != "auto":
        return ResolvedSetting(setting, "--dtype asks for it")
    if device.startswith("cuda"):
        native, where = torch.cuda.is_bf16_supported(including_emulation=False), "this GPU"
    else:
        native, where = _cpu_computes_bfloat16(), "this processor"
    if native:
        return ResolvedSetting("bfloat16", f"{where} computes it natively")
    return ResolvedSetting("float32", f"{where} does not compute bfloat16 natively")


def _cpu_computes_bfloat16() -> bool:
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))
