"""Load merged runs question by question, and match the questions of several runs.

Reads the feather file and run.json, and the infos of parts for the seconds they took.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from common.errors import UsageError, first_line, is_of_the_system
from common.methods import METHODS, Method
from common.run import RunSpec
from common.store import RunFolder
from common.store.manifest import Manifest, read_manifest
from common.store.parts import read_infos
from producer.report.answers import Metric, QuestionResult, columns_of, read_results
from producer.report.statistics import FloatArray
from producer.scoring.score import has_old_scores


@dataclass(frozen=True)
class RunAnswers:
    """One run, in memory.

    questions: by uuid, in the order of the data set. seconds, rate (questions per second): of all
    questions that the run answered, even if `questions` is cut; None if its parts are gone.
    rescored: the file has scores of other versions, which are not used.
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
    def correct(self) -> FloatArray:
        """For each question the share of its replies that are right; a failed reply is wrong."""
        return self._means([[r.correct for r in q.replies] for q in self.questions.values()])

    @property
    def f1(self) -> FloatArray:
        """For each question the mean F1 of its replies."""
        return self._means([q.f1 for q in self.questions.values()])

    def cut_to(self, uuids: Sequence[str]) -> "RunAnswers":
        """A copy with only these questions, in this order."""
        return replace(self, questions={uuid: self.questions[uuid] for uuid in uuids})

    @staticmethod
    def _means(replies: Sequence[Sequence[float]]) -> FloatArray:
        return np.array([sum(row) / len(row) for row in replies], dtype=np.float64)


def load_runs(runs: Sequence[RunFolder], metric: Metric) -> list[RunAnswers]:
    """Load all runs. Raises UsageError for a run that cannot be reported, or is given twice."""
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
        max_replies = run.spec.num_paraphrases if run.method.row_per_paraphrase else 1
        if question.uuid in questions or len(question.replies) > max_replies:
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
    rescored = has_old_scores(run.open_result().schema)
    return RunAnswers(
        str(run.key), run.spec, run.method, manifest, questions, seconds, rate, rescored
    )


def _questions(run: RunFolder, metric: Metric) -> Iterator[QuestionResult]:
    """Read the file batch by batch; keep only what a report shows of each row."""
    schema = run.open_result().schema
    columns = columns_of(schema.names, not has_old_scores(schema))
    try:
        rows = (row for batch in run.batches(columns) for row in batch.to_pylist())
        yield from read_results(rows, metric)
    except (pa.ArrowException, OSError, KeyError) as error:
        if is_of_the_system(error):
            raise
        raise UsageError(
            f"{run.feather_path} cannot be read ({first_line(error)}); "
            f"`producer merge {run.key}` makes it anew from the parts"
        ) from None


def read_speed(run: RunFolder, manifest: Manifest) -> tuple[float | None, float | None]:
    """Seconds of the shards a run was answered in, and questions per second.

    Both are None if parts are gone, or if the parts counted no seconds.
    """
    infos = list(read_infos(run))
    rows = {row for info in infos for row in info.rows}
    seconds = sum(
        info.counts.get("prefill_seconds", 0.0) + info.counts.get("decode_seconds", 0.0)
        for info in infos
    )
    if len(rows) < manifest.found or not seconds:
        return None, None
    return seconds, sum(len(info.rows) for info in infos) / seconds


@dataclass(frozen=True)
class MatchedRuns:
    """Runs with the same questions in the same order.

    common_of: if questions were left out, the number of questions that any run has; else None.
    """

    runs: list[RunAnswers]
    common_of: int | None


def match_questions(runs: Sequence[RunAnswers], common: bool) -> MatchedRuns:
    """Bring all runs into the order of the first.

    A question is its uuid and its gold answers; paraphrases may differ. common: cut the runs to
    the questions that all of them have. Raises UsageError if the runs have different questions
    and `common` is off, no question in common, or different gold answers under one uuid.
    """
    first = runs[0]
    for run in runs[1:]:
        _check_answers(first, run)
    everywhere = [u for u in first.questions if all(u in run.questions for run in runs)]
    in_all = {uuid for run in runs for uuid in run.questions}
    if len(everywhere) == len(in_all):
        return MatchedRuns([run.cut_to(everywhere) for run in runs], None)
    if not everywhere:
        raise UsageError("no question is common to all the runs; report runs of the same data set")
    if not common:
        raise UsageError(_difference(runs, len(everywhere)))
    return MatchedRuns([run.cut_to(everywhere) for run in runs], len(in_all))


def _check_answers(first: RunAnswers, run: RunAnswers) -> None:
    """Raise UsageError if the runs have different gold answers under one uuid."""
    for uuid, question in run.questions.items():
        known = first.questions.get(uuid)
        if known and set(known.answers) != set(question.answers):
            raise UsageError(
                f"runs {first.key} and {run.key} have different questions under the uuid "
                f"{uuid!r}: the gold answers are {list(known.answers)} in one and "
                f"{list(question.answers)} in the other; report them apart"
            )


def _difference(runs: Sequence[RunAnswers], common: int) -> str:
    first = runs[0]
    other = next(run for run in runs if run.questions.keys() != first.questions.keys())
    return (
        f"runs {first.key} ({len(first.questions)} questions) and {other.key} "
        f"({len(other.questions)}) have different question sets; {common} questions are common "
        "to all runs given, --common cuts the report to them"
    )
