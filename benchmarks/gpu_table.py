"""The rows of the GPU benchmark: each has a deadline, and one that fails says why.

A row that is not run has no figures, and a note with the reason; what was measured before stays.
"""

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from benchmarks.answering import answered
from benchmarks.deadline import Clock, OutOfTime, deadline
from benchmarks.floors import Machine, StepWork
from benchmarks.gpu_engines import Engines
from benchmarks.memory import peak_mib, reset_peak
from benchmarks.outcome import Row
from benchmarks.prompts import pieces_of
from benchmarks.published import published_decode
from benchmarks.rates import LinearShapes
from benchmarks.timing import ONCE, Patience, timed
from benchmarks.workload import Workload, early_stop
from common.errors import first_line
from common.layout import pack_fused
from worker.budget import Budget
from worker.engine.request import Question
from worker.engine.tokenise import PromptTokenizer

ROW_SECONDS = 150.0
"""Of which the first row takes most to compile."""

PUBLISHED_QUESTIONS = 2
_WARM_UP_QUESTIONS = 512
_PATIENCE = Patience(repeats=3, seconds=30.0)

COLUMNS = (
    "way", "layout", "seconds", "questions/s", "prefill tokens/s", "prefill of machine",
    "decode tokens/s", "decode of floor", "peak GiB", "over published",
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One row of the engine's."""

    way: str
    kernel: str
    workload: Workload
    methods: tuple[str, ...]


@dataclass
class Table:
    """What is asked of one model on one machine, and the rows so far."""

    model: PreTrainedModel
    engines: Engines
    questions: Sequence[Question]
    machine: Machine
    unable: dict[str, str]
    clock: Clock

    def __post_init__(self) -> None:
        self.rows: list[Row] = []
        self.notes: list[str] = []

    def add_published(self, way: str, kind: str, workload: Workload) -> None:
        """The published algorithm, as long as the model's attention is nobody's yet."""
        self._attempt(way, kind, workload, lambda: self._published(way, kind, workload))

    def add(self, case: Case) -> None:
        """The engine's answers to all questions."""
        self._attempt(case.way, case.kernel, case.workload, lambda: self._answered(case))

    def _attempt(
        self, way: str, needed: str, workload: Workload, measure: Callable[[], Row]
    ) -> None:
        name = f"{way}, {workload.layout}"
        found: Row = {}
        seconds = min(ROW_SECONDS, self.clock.left)
        if needed in self.unable:
            self.notes.append(f"{name}: not run: {self.unable[needed]}")
        elif seconds <= 0:
            self.notes.append(f"{name}: not run: the {self.clock.seconds:.0f} s of all are over")
        else:
            try:
                with deadline(seconds):
                    found = measure()
            except OutOfTime:
                self.notes.append(f"{name}: not run: not done after {seconds:.0f} s")
            except Exception as error:  # of a driver or a compiler, or out of memory
                self.notes.append(f"{name}: not run: {first_line(error)}")
        self._add({"way": way, "layout": workload.layout} | found)

    def _add(self, row: Row) -> None:
        self.rows.append({name: row.get(name) for name in COLUMNS})
        mine, first = (r["questions/s"] for r in (self.rows[-1], self.rows[0]))
        self.rows[-1]["over published"] = mine / first if mine and first else None

    def _published(self, way: str, kind: str, workload: Workload) -> Row:
        tokenizer = PromptTokenizer(self.engines.tokenizer)
        some = self.questions[:PUBLISHED_QUESTIONS]
        pieces = pieces_of(tokenizer, some, workload)
        packed = [pack_fused(each, "concat", "sequential") for each in pieces]

        def work() -> None:
            for prompt in packed:
                published_decode(self.model, prompt, workload.max_new_tokens, kind)

        self._begin_peak()
        published_decode(self.model, packed[0], 1, kind)
        took = timed(work, ONCE).seconds
        self.notes.append(f"{way}: extrapolated, {len(some)} questions took {took:.3g} s")
        return {
            "seconds": took * len(self.questions) / len(some),
            "questions/s": len(some) / took,
            "peak GiB": self._peak_gib(),
        }

    def _answered(self, case: Case) -> Row:
        self._begin_peak()
        engine = self.engines.build(self.model, case.kernel)
        with early_stop(engine, on=False):
            done = answered(
                engine, self.questions, case.workload.request(*case.methods), _PATIENCE,
                _WARM_UP_QUESTIONS,
            )  # fmt: skip
        config, counts = self.model.config, done.counts
        work = StepWork.of(config, self.model.dtype)
        prefill = counts.prefill_tokens / counts.prefill_seconds
        floor = self.machine.floor_seconds(work, engine.decodings(counts))
        flops = LinearShapes.of(config).prefill_flops
        self.notes.append(
            f"{case.way}, {case.workload.layout}: prefill {counts.prefill_seconds:.3g} s, decode "
            f"{counts.decode_seconds:.3g} s; median of {done.time.repeats}; {Budget.of(engine)}"
        )
        return {
            "seconds": done.seconds,
            "questions/s": len(self.questions) / done.seconds,
            "prefill tokens/s": prefill,
            "prefill of machine": prefill * flops / self.machine.multiplied,
            "decode tokens/s": counts.decode_tokens / counts.decode_seconds,
            "decode of floor": floor / counts.decode_seconds,
            "peak GiB": self._peak_gib(),
        }

    def _begin_peak(self) -> None:
        gc.collect()
        if self.model.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.model.device)
        reset_peak()

    def _peak_gib(self) -> float | None:
        """Of the GPU as torch counts it; of a process on the CPU."""
        if self.model.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.model.device) / 2**30
        peak = peak_mib()
        return peak / 1024 if peak else None
