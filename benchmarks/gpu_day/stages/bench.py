"""The bench: device, questions, tokenizer and model of a stage, and its clock."""

import time
from collections.abc import Callable
from pathlib import Path

import torch
from transformers import PreTrainedModel

from benchmarks.questions import MAX_QUESTIONS, many_questions
from benchmarks.random_llama import TOKENIZER_SIZE, llama_config, make_tokenizer, random_model
from benchmarks.workload import Workload

_TINY_QUESTIONS = 24
_SETTLING_CALLS = 1


class NoSuchDevice(Exception):
    """The device that was asked for is not there."""


class Bench:
    """Made once in each stage's process. tiny: the checks' model and few questions.

    scratch: a folder for what one stage leaves for another.
    """

    def __init__(self, device: str, tiny: bool, scratch: Path) -> None:
        self.device = find_device(device)
        self.tiny = tiny
        self.scratch = scratch
        self.workload = Workload(examples=1, max_new_tokens=5) if tiny else Workload()
        self.questions = many_questions(_TINY_QUESTIONS if tiny else MAX_QUESTIONS)
        texts = self.workload.plain_texts(self.questions)
        self.tokenizer = make_tokenizer(texts, TOKENIZER_SIZE, bos=False)
        self.config = llama_config(tiny)

    @property
    def on_gpu(self) -> bool:
        return self.device.type == "cuda"

    def make_model(self) -> PreTrainedModel:
        """The model that is measured, with random weights, in bfloat16."""
        model = random_model(self.config, torch.bfloat16, self.device)
        self.synchronize()
        return model

    def synchronize(self) -> None:
        """Wait until the device has done all that it was given."""
        if self.on_gpu:
            torch.cuda.synchronize(self.device)

    def milliseconds(self, work: Callable[[], object], repeats: int) -> tuple[float, float]:
        """One call of `work`: milliseconds of the host's part, and until the device is done.

        Several calls are given to the device at once, as a decode loop does; one before them is
        not counted.
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
        """Let the peak of the GPU's memory begin at what is held now."""
        if self.on_gpu:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)

    def peak_gib(self) -> float | None:
        """The most that torch has held on the GPU since; None on a CPU."""
        return torch.cuda.max_memory_allocated(self.device) / 2**30 if self.on_gpu else None


def find_device(name: str) -> torch.device:
    """Raises NoSuchDevice, with a sentence, where it is not there."""
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
