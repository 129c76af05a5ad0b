"""Building blocks for tests of the steps: runs of paraphrases and confidences, and dependents.

Parts hold what a worker would write; merging and creating dependents are the product's own.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from common.planning.dependents import create_with_dependents
from common.planning.plan import RunPlan
from common.records import ResultRow, Sample
from common.run import SamplingParams
from common.store import RunFolder, StoreFilesystem, merge_run
from common.store.parts import write_part
from tests.common.storekit import make_info, make_spec

SAMPLING = SamplingParams(temperature=1.5, top_p=0.9, num_draws=1)
DRAWS = SamplingParams(temperature=1, top_p=1, num_draws=10)


def questions(count: int, paraphrases: int = 1, num_manual: int | None = None) -> list[Sample]:
    """Samples whose questions and answers tell their number."""
    return [
        Sample(
            tuple(paraphrase(i, w) for w in range(paraphrases)),
            (f"gold {i}",),
            f"id{i}",
            num_manual,
        )
        for i in range(count)
    ]


def paraphrase(row: int, number: int) -> str:
    """The text of a paraphrase, 0 being the question."""
    return f"what is {row}?" if number == 0 else f"{row} is what, {number}?"


def plan(
    method: str, dependents: Sequence[RunPlan] = (), name: str | None = None, **changes: Any
) -> RunPlan:
    """A planned run of the data set `quiz`; a name of its own, or as methods are named here."""
    width = changes.setdefault("num_paraphrases", 3)
    sampling = {"paraphrases": SAMPLING, "confidence": DRAWS}.get(method)
    if sampling and "sampling" not in changes:
        changes["sampling"] = sampling
    if method == "origin":
        changes["num_paraphrases"] = 1
    spec = make_spec(method=method, **changes)
    key = f"quiz/owner--model/{name or f'{method}-{width}'}"
    return RunPlan(key=key, spec=spec, dependents=tuple(dependents))


def make(store: StoreFilesystem, *plans: RunPlan, samples: Iterable[Sample]) -> list[RunFolder]:
    """Create the planned runs, and the dependents of those that are complete."""
    return create_with_dependents(store, plans, samples, {"host": "here", "shard_size": 4})


def put_paraphrases(
    run: RunFolder,
    rows: Iterable[int],
    failed: Iterable[int] = (),
    bad: Mapping[int, str] | None = None,
    attempt: int = 1,
) -> None:
    """A part of a run of paraphrases. bad: rows whose last one stayed wrong, and its text."""
    rows, failed, bad = sorted(rows), sorted(failed), bad or {}
    width = run.spec.num_paraphrases
    answers = []
    for row, sample in zip(rows, run.read_samples(rows), strict=True):
        if row in failed:
            known = ResultRow(row, 0, sample.uuid, paraphrases=[*sample.paraphrases])
            answers.append(replace(known, error="too long", error_kind="sample"))
            continue
        texts = [paraphrase(row, w) for w in range(width)]
        problems: list[str | None] = [None] * width
        if row in bad:
            texts[-1], problems[-1] = bad[row], "empty"
        attempts = [0, *[1] * (width - 1)]
        answers.append(
            ResultRow(row, 0, sample.uuid, paraphrases=texts, problems=problems, attempts=attempts)
        )
    write_part(run, make_info(run, rows, failed=tuple(failed), attempt=attempt), answers)


def put_confidences(run: RunFolder, rows: Iterable[int], failed: Iterable[int] = ()) -> None:
    """A part of a run of confidences; paraphrase w of row r is `confidence_of(r, w)` sure."""
    rows, failed = sorted(rows), sorted(failed)
    answers = [
        _confidence(row, w, sample, failed=row in failed)
        for row, sample in zip(rows, run.read_samples(rows), strict=True)
        for w in range(len(sample.paraphrases))
    ]
    write_part(run, make_info(run, rows, failed=tuple(failed)), answers)


def _confidence(row: int, w: int, sample: Sample, failed: bool) -> ResultRow:
    text = sample.paraphrases[w]
    if failed:
        return ResultRow(row, w, sample.uuid, paraphrase=text, error="empty", error_kind="sample")
    return ResultRow(
        row, w, sample.uuid, paraphrase=text, prompt=f"Q: {text}\nA:",
        prediction=f"answer {row}", generation=f" answer {row}\n", tokens=[1],
        token_logprobs=[-0.5], logprob=-0.5, finish_reason="stop:\\n",
        confidence=confidence_of(row, w), sampled=[f"answer {row}", "other"],
    )  # fmt: skip


def confidence_of(row: int, number: int) -> float:
    return (row + number) % 11 / 10


def finish_paraphrases(run: RunFolder, **how: Any) -> None:
    """All parts of a run of paraphrases, and its merged file."""
    put_paraphrases(run, range(run.spec.num_samples), **how)
    merge_run(run)


def finish_confidences(run: RunFolder, **how: Any) -> None:
    """All parts of a run of confidences, and its merged file."""
    put_confidences(run, range(run.spec.num_samples), **how)
    merge_run(run)


def names(runs: Iterable[RunFolder]) -> list[str]:
    return [run.key.name for run in runs]


def snapshot(store: StoreFilesystem) -> dict[str, bytes]:
    """The content of every file of a store, by path."""
    return {path: store.read_bytes(path) for path in store.list("", recursive=True)}
