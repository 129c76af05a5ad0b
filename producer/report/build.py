"""Build the document of a report: load runs, match questions, compute, add notes."""

from collections.abc import Iterator, Sequence

from common.run import RunSpec
from common.store import RunFolder
from producer.report.answers import Metric
from producer.report.compare import comparable_runs, compare_runs
from producer.report.document import Document, RunReport, SampleRow
from producer.report.load import MatchedRuns, RunAnswers, load_runs, match_questions
from producer.report.paraphrases import report_paraphrases
from producer.report.sentences import all_notes
from producer.report.singles import SingleSources, find_sources
from producer.report.statistics import mean_interval, share_interval


def build_document(
    runs: Sequence[RunFolder], metric: Metric = "exact", common: bool = False, seed: int = 0
) -> Document:
    """The whole report of merged runs.

    common: cut the runs to the questions that all of them have. seed: for bootstraps and for the
    choice of subsets. Raises UsageError for runs that cannot be compared.
    """
    matched = match_questions(load_runs(runs, metric), common)
    loaded = matched.runs
    sources = find_sources(loaded)
    return Document(
        title=_title(matched),
        dataset=_dataset(loaded),
        metric=metric,
        questions=len(loaded[0].questions),
        common_of=matched.common_of,
        runs=tuple(_run_report(run, seed) for run in loaded),
        comparisons=compare_runs(loaded, seed),
        paraphrases=tuple(
            report_paraphrases(key, answers, seed) for key, answers in sources.by_run.items()
        ),
        samples=tuple(sample_rows(loaded, sources)),
        notes=tuple(all_notes(matched, sources, seed)),
    )


def _dataset(runs: Sequence[RunAnswers]) -> str:
    return ", ".join(dict.fromkeys(run.spec.dataset for run in runs))


def _title(matched: MatchedRuns) -> str:
    """Data set, model if all runs share it, number of runs and of questions."""
    runs = matched.runs
    models = {run.key.split("/")[1] for run in runs}
    about = f"{_dataset(runs)}, {models.pop()}" if len(models) == 1 else _dataset(runs)
    count = len(runs[0].questions)
    questions = "1 question" if count == 1 else f"{count} questions"
    if matched.common_of is not None:
        questions = f"the {count} questions common to all runs, of {matched.common_of}"
    return f"{about}: {len(runs)} run{'s' * (len(runs) > 1)} on {questions}"


def _run_report(run: RunAnswers, seed: int) -> RunReport:
    spec: RunSpec = run.spec
    questions = run.questions.values()
    return RunReport(
        run=run.key,
        method=run.method.name,
        num_paraphrases=run.method.num_read(spec.num_paraphrases),
        layout=spec.layout,
        positions=spec.positions,
        questions=len(questions),
        failed=sum(question.error is not None for question in questions),
        accuracy=share_interval(run.correct, seed),
        f1=mean_interval(run.f1, seed),
        tokens=sum(question.tokens for question in questions),
        cut_off=sum(question.cut_off for question in questions),
        seconds=run.seconds,
        questions_per_second=run.rate,
    )


def sample_rows(runs: Sequence[RunAnswers], sources: SingleSources) -> Iterator[SampleRow]:
    """Yield one row per question, in the order of the data set.

    A row has the predictions of runs with one answer per question, and the single answers of the
    first run that keeps them.
    """
    by_run = {run.key: run for run in comparable_runs(runs)}
    source, answers = next(iter(sources.by_run.items()), (None, None))
    for number, (uuid, question) in enumerate(runs[0].questions.items()):
        replies = {key: run.questions[uuid].replies[0] for key, run in by_run.items()}
        singles = answers[number] if answers else None
        correct = {key: reply.correct for key, reply in replies.items()}
        errors = {run.key: run.questions[uuid].error for run in runs}
        yield SampleRow(
            uuid=uuid,
            paraphrases=_paraphrases(uuid, runs, source),
            answers=question.answers,
            predictions={key: reply.prediction for key, reply in replies.items()},
            correct=correct,
            errors={key: error for key, error in errors.items() if error is not None},
            singles=None if singles is None else tuple(r.prediction or "" for r in singles),
            singles_correct=None if singles is None else tuple(r.correct for r in singles),
            flips=len(set(correct.values())) > 1,
        )


def _paraphrases(uuid: str, runs: Sequence[RunAnswers], source: str | None) -> tuple[str, ...]:
    """The paraphrases that the run `source` read; without one, the longest list of any run."""
    paraphrases = (run.questions[uuid].paraphrases for run in runs if source in (None, run.key))
    return max(paraphrases, key=len)
