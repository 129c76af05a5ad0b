"""The stages of a GPU day, most valuable first, and the figures predicted for their rows.

The predictions are arithmetic, made without a GPU, for one H100 and Llama-3.2-3B's shape in
bfloat16 with 2,032 questions in 5 paraphrases (docs/performance.md). The table shows them beside
the measured figures: a GPU day is there to find figures that are far off.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Stage:
    """One stage, which runs in its own process.

    limit: seconds after which it is killed. expected: seconds if nothing goes wrong. predictions:
    name of a row -> its figures.
    """

    name: str
    limit: float
    expected: float
    purpose: str
    predictions: Mapping[str, str] = field(default_factory=dict)


STAGES = (
    Stage("probe", 45, 20, "versions, clocks, and the rates that all figures are compared with", {
        "copy": "3,000 GB/s",
        "matmul": "600 to 800 TFLOP/s",
        "decode products, 64 rows": "2.2 ms",
        "decode products, 320 rows": "4 ms",
        "decode products, 1300 rows": "14 ms",
        "launch": "4 us",
    }),
    Stage("check_eager", 60, 25, "nothing compiled, float32, against the reference", {
        "published block": "equal", "published dense": "equal",
        "cascade, concat": "equal", "cascade, shared": "equal",
        "sdpa, concat": "equal", "sdpa, shared": "equal",
    }),
    Stage("eager", 75, 45, "the engine without compilation, the published algorithm, a profile", {
        "published block": "0.5 to 1 questions/s",
        "published dense": "1 to 1.5 questions/s",
        "flex_attention, some questions": "250 to 350 questions/s",
        "flex_attention, all questions": "250 to 350 questions/s",
        "profile": "41,000 launches in decode",
    }),
    Stage("check_flex", 60, 35, "FlexAttention alone compiled, float32, against the reference", {
        "flex, concat": "equal, 5 s to compile", "flex, shared": "equal",
    }),
    Stage("flex", 120, 85, "FlexAttention and compiled layers: what a worker uses", {
        "flex_attention, all questions": "310 to 400 questions/s",
        "per_prompt, all questions": "250 to 290 questions/s",
    }),
    Stage("graphs", 60, 35, "a decode step as it is, and replayed as a CUDA graph", {
        "step, eager, 64 rows": "16 ms, as a graph 3.5 ms",
        "step, eager, 320 rows": "16 to 18 ms, as a graph 6 ms",
        "step, eager, 1024 rows": "25 ms, as a graph 22 ms",
        "step, compiled, 64 rows": "16 ms, as a graph 3 to 4 ms",
    }),
    Stage("attention", 50, 30, "attention of one layer over one pack: every backend", {
        "flex, 4096 tokens": "0.3 ms", "flex, 26000 tokens": "1.5 ms",
        "sdpa MATH, 4096 tokens": "10 ms",
    }),
    Stage("check_compiled", 60, 40, "everything compiled, float32, against the reference", {
        "cascade, concat": "equal", "cascade, shared": "equal",
        "sdpa, concat": "equal", "sdpa, shared": "equal",
    }),
    Stage("shards", 60, 40, "what the size of a shard is worth, and whether answers change", {
        "calls of 64": "110 questions/s", "calls of 256": "230 questions/s",
        "calls of 1024": "320 questions/s", "answers equal": "0.8 to 0.95",
    }),
    Stage("rest", 90, 60, "five methods in one pass, the other layout, dense attention", {
        "five methods": "200 questions/s", "shared": "as flex_attention with flex",
        "dense sdpa": "half of flex",
    }),
    Stage("gpu_tests", 90, 40, "tests/gpu", {"pytest": "all passed"}),
)  # fmt: skip
"""Expected: 415 s before the tests. The clock cuts off the least valuable stages."""

PREDICTIONS = {
    (stage.name, row): figures for stage in STAGES for row, figures in stage.predictions.items()
}
