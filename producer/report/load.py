"""Merged runs -> what they answered, question by question; and what a report cannot use.

Reads the feather file and run.json; parts only for the seconds they took, where there are any.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from common.errors import UsageError, first_line
from common.methods import METHODS, Method
from common.run import RunSpec
from common.store import RunFolder
from common.store.manifest import Manifest, read_manifest
from common.store.parts import read_infos
from producer.report.answers import Metric, QuestionResult, columns_of, read_results
from producer.report.statistics import Values
from producer.scoring.score import has_old_scores


@dataclass(frozen=True)
class RunAnswers:
    """One run, in memory. questions: by uuid, in the order of the data set.

    seconds, rate: of all it answered, cut or not; None where its parts are gone. rate is in
    questions per second. rescored: its file has scores of other versions, which are not used.
    """

    key: str
    spec: RunSpec
    method: Method
    manifest: Manifest
    questions: dict[str, QuestionResult]
    seconds: float | None
    rate: float | None
    rescored: bool = False

    @property
    def correct(self) -> Values:
        """For each question the share of its replies that are right; failed ones are not."""
        return self._means([[r.correct for r in q.replies] for q in self.questions.values()])

    @property
    def f1(self) -> Values:
        return self._means([q.f1 for q in self.questions.values()])

    def cut_to(self, uuids: Sequence[str]) -> "RunAnswers":
        """The same run with these questions only, in this order."""
        return replace(self, questions={uuid: self.questions[uuid] for uuid in uuids})

    @staticmethod
    def _means(replies: Sequence[Sequence[float]]) -> Values:
        return np.array([sum(of) / len(of) for of in replies], dtype=np.float64)


def load_runs(runs: Sequence[RunFolder], metric: Metric) -> list[RunAnswers]:
    """Read them all; raises UsageError for one that cannot be reported, or that comes twice."""
    keys = [str(run.key) for run in runs]
    for key in keys:
        if keys.count(key) > 1:
            raise UsageError(f"run {key} is given twice; name each run once")
    for run in runs:
        if run.spec.method not in METHODS:
            raise UsageError(
                f"run {run.key} is a step ({run.spec.method}) that prepares other runs, it has no "
                "answers to compare; give the runs made with it"
            )
    return [_load(run, metric) for run in runs]


def _load(run: RunFolder, metric: Metric) -> RunAnswers:
    manifest = read_manifest(run)
    questions: dict[str, QuestionResult] = {}
    for question in _questions(run, metric):
        most = run.spec.num_paraphrases if run.method.row_per_paraphrase else 1
        if question.uuid in questions or len(question.replies) > most:
            raise UsageError(
                f"run {run.key} holds the uuid {question.uuid!r} more than once, so its questions "
                "cannot be told apart; give every question of the data file a uuid of its own"
            )
        questions[question.uuid] = question
    if not questions:
        raise UsageError(
            f"run {run.key} was merged without a single row; wait until some are answered "
            f"(`producer status {run.key}`) and merge it again"
        )
    seconds, rate = read_speed(run, manifest)
    rescored = has_old_scores(run.store.open_arrow(run.feather).schema)
    return RunAnswers(
        str(run.key), run.spec, run.method, manifest, questions, seconds, rate, rescored
    )


def _questions(run: RunFolder, metric: Metric) -> Iterator[QuestionResult]:
    """Batch by batch: of a row only what a report shows is kept."""
    reader = run.store.open_arrow(run.feather)
    columns = columns_of(reader.schema.names, not has_old_scores(reader.schema))
    try:
        yield from read_results(_rows(reader, columns), metric)
    except (pa.ArrowException, OSError, KeyError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # The system could not read it, and its text says which file.
        raise UsageError(
            f"{run.feather_path} cannot be read ({first_line(error)}); "
            f"`producer merge {run.key}` makes it anew from the parts"
        ) from None


def _rows(reader: pa.ipc.RecordBatchFileReader, columns: list[str]) -> Iterator[dict[str, Any]]:
    for number in range(reader.num_record_batches):
        yield from reader.get_batch(number).select(columns).to_pylist()


def read_speed(run: RunFolder, manifest: Manifest) -> tuple[float | None, float | None]:
    """Seconds of the messages a run was answered in, and questions per second.

    None where parts are gone: what some of the questions took tells nothing of the rest.
    """
    infos = list(read_infos(run))
    held = {row for info in infos for row in info.rows}
    seconds = sum(
        info.counts.get("prefill_seconds", 0.0) + info.counts.get("decode_seconds", 0.0)
        for info in infos
    )
    if len(held) < manifest.found or not seconds:
        return None, None
    return seconds, sum(len(info.rows) for info in infos) / seconds
