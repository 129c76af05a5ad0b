"""The bench: device, questions, tokenizer and model of a stage, and its timer."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import LlamaConfig, PreTrainedModel, PreTrainedTokenizerFast

from benchmarks.questions import MAX_QUESTIONS, many_questions
from benchmarks.random_llama import TOKENIZER_SIZE, llama_config, make_tokenizer, random_model
from benchmarks.workload import Workload
from common.records import Sample

_TINY_QUESTIONS = 24
_SETTLING_CALLS = 1


class NoSuchDevice(Exception):
    """The requested device is missing."""


@dataclass(frozen=True)
class Bench:
    """Device, questions, tokenizer and model of a stage; each stage's process makes one.

    tiny: use the small model of the checks, and few questions. scratch: folder for files that one
    stage leaves for another.
    """

    device: torch.device
    tiny: bool
    scratch: Path
    workload: Workload
    questions: list[Sample]
    tokenizer: PreTrainedTokenizerFast
    config: LlamaConfig

    @classmethod
    def make(cls, device: str, tiny: bool, scratch: Path) -> "Bench":
        """Find the device and train the tokenizer. Raises NoSuchDevice."""
        torch_device = find_device(device)
        workload = Workload(examples=1, max_new_tokens=5) if tiny else Workload()
        questions = many_questions(_TINY_QUESTIONS if tiny else MAX_QUESTIONS)
        texts = workload.plain_texts(questions)
        tokenizer = make_tokenizer(texts, TOKENIZER_SIZE, bos=False)
        config = llama_config(tiny)
        return cls(torch_device, tiny, scratch, workload, questions, tokenizer, config)

    @property
    def on_gpu(self) -> bool:
        return self.device.type == "cuda"

    def make_model(self) -> PreTrainedModel:
        """Make the measured model: random weights, bfloat16."""
        model = random_model(self.config, torch.bfloat16, self.device)
        self.synchronize()
        return model

    def synchronize(self) -> None:
        """Wait until the device has finished its work."""
        if self.on_gpu:
            torch.cuda.synchronize(self.device)

    def milliseconds(self, work: Callable[[], object], repeats: int) -> tuple[float, float]:
        """Milliseconds of one call of `work` on the host, and until the device has finished.

        Queues several calls before it waits, as a decode loop does, after one uncounted call.
        """
        for _ in range(_SETTLING_CALLS):
            work()
        self.synchronize()
        began = time.perf_counter()
        for _ in range(repeats):
            work()
        host = time.perf_counter() - began
        self.synchronize()
        return 1e3 * host / repeats, 1e3 * (time.perf_counter() - began) / repeats

    def begin_peak(self) -> None:
        """Restart the peak of the GPU's memory at its current use."""
        if self.on_gpu:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)

    def peak_gib(self) -> float | None:
        """Peak GPU memory of torch since `begin_peak`; None on a CPU."""
        return torch.cuda.max_memory_allocated(self.device) / 2**30 if self.on_gpu else None


def find_device(name: str) -> torch.device:
    """Find a device by name. Raises NoSuchDevice with a sentence if it is missing."""
    try:
        device = torch.device(name)
    except RuntimeError:
        raise NoSuchDevice(f"--device {name} is no device; use cuda, cuda:1 or cpu") from None
    if device.type not in ("cpu", "cuda"):
        raise NoSuchDevice(f"--device {name}: use cuda, cuda:1, or cpu with --tiny")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise NoSuchDevice(
            f"--device {name}: torch {torch.__version__} sees {torch.cuda.device_count()} GPUs "
            "here; to rehearse without one, use --device cpu --tiny"
        )
    return device
