"""Merged runs whose every answer is known to the test."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any

from common.records import ResultRow, Sample, SingleAnswer
from common.run import RunKey
from common.store import RunFolder, StoreFilesystem, merge_run
from common.store.parts import write_part
from common.store.snapshot import SnapshotWriter
from tests.common.storekit import WEIGHTS, make_answer, make_info, make_run, make_spec

TextAndLogprob = tuple[str, float]
"""An answer and its log-probability per token."""

METHODS = {"origin": 1, "avg-3": 3, "max-3": 3, "flex_attention-3": 3, "per_prompt-3": 3}


def begin(store: StoreFilesystem, name: str, count: int) -> RunFolder:
    method = name.partition("-")[0]
    layout = ("concat", "sequential") if method == "flex_attention" else (None, None)
    return make_run(
        store, count, name, method=method, num_paraphrases=METHODS[name],
        layout=layout[0], positions=layout[1],
    )  # fmt: skip


def finish(
    run: RunFolder, answers: Iterable[ResultRow], partial: bool = False, **changes: Any
) -> RunFolder:
    """Write the answers as one part and merge it."""
    answers = list(answers)
    rows = sorted({answer.row for answer in answers})
    failed = tuple(sorted({answer.row for answer in answers if answer.error is not None}))
    write_part(run, make_info(run, rows, failed=failed, **changes), answers)
    merge_run(run, partial)
    return run


def answered(
    store: StoreFilesystem,
    name: str,
    count: int,
    right: Collection[int],
    failed: Collection[int] = (),
) -> RunFolder:
    """A run of one answer to each question: right on these rows, failed on those."""
    run = begin(store, name, count)
    return finish(run, (an_answer(run, row, right, failed) for row in range(count)))


def an_answer(
    run: RunFolder, row: int, right: Collection[int], failed: Collection[int] = ()
) -> ResultRow:
    if row in failed:
        return make_answer(run, row, error="it broke")
    text = f"The gold {row}!" if row in right else "something else"
    return replace(make_answer(run, row), prediction=text)


def per_paraphrase(
    store: StoreFilesystem, answers: Sequence[Sequence[TextAndLogprob | None]]
) -> RunFolder:
    """A run with a row for each paraphrase; None is a paraphrase that failed."""
    run = begin(store, "per_prompt-3", len(answers))
    return finish(
        run,
        (
            make_answer(run, row, paraphrase, error="it broke")
            if one is None
            else replace(
                make_answer(run, row, paraphrase),
                prediction=one[0], tokens=[7, 8], logprob=2 * one[1],
            )
            for row, paraphrases in enumerate(answers)
            for paraphrase, one in enumerate(paraphrases)
        ),
    )  # fmt: skip


def with_singles(
    store: StoreFilesystem, name: str, answers: Sequence[Sequence[TextAndLogprob] | str | None]
) -> RunFolder:
    """A run that keeps single answers: None where it has none, a text where the row failed."""
    run = begin(store, name, len(answers))
    return finish(
        run,
        (
            make_answer(run, row, error=one)
            if isinstance(one, str)
            else replace(make_answer(run, row), singles=one and [a_single(*s) for s in one])
            for row, one in enumerate(answers)
        ),
    )


def a_single(text: str, logprob: float) -> SingleAnswer:
    return SingleAnswer(text, [7, 8], [logprob - 0.25, logprob + 0.25], "stop:\\n")


def answered_samples(
    store: StoreFilesystem, name: str, samples: Sequence[Sample], predictions: Sequence[str]
) -> RunFolder:
    """A run over samples of one's own."""
    with SnapshotWriter(store, ".staging/input.arrow") as writer:
        for sample in samples:
            writer.add(sample)
    spec = make_spec(num_samples=len(samples), dataset_sha256=writer.sha256)
    run = RunFolder(store, RunKey(spec.dataset, "owner--model", name))
    run.create(spec, writer.path, {"host": "here"})
    answers = [
        ResultRow(row, 0, samples[row].uuid, prediction=text, tokens=[row], logprob=-1.0)
        for row, text in enumerate(predictions)
    ]
    return finish(run, answers, model_identity=WEIGHTS)
