"""Runs -> the document of a report: opens, matches, computes, and says what to know besides."""

from collections.abc import Sequence

from common.run import RunSpec
from common.store import RunFolder
from producer.report.answers import Metric
from producer.report.compare import compare_runs
from producer.report.document import Document, RunReport
from producer.report.load import RunAnswers, load_runs
from producer.report.matching import Matched, match_questions
from producer.report.paraphrases import report_paraphrases
from producer.report.samples import sample_rows
from producer.report.sentences import all_notes
from producer.report.singles import find_sources
from producer.report.statistics import mean_interval, share_interval


def build_document(
    runs: Sequence[RunFolder], metric: Metric = "exact", common: bool = False, seed: int = 0
) -> Document:
    """The whole report of merged runs; raises UsageError for runs that cannot be compared.

    common: cut to the questions all runs have. seed: of bootstraps and of sampled subsets.
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


def _title(matched: Matched) -> str:
    """What was asked, of which model where there is one, and of how many questions."""
    runs = matched.runs
    models = {run.key.split("/")[1] for run in runs}
    about = f"{_dataset(runs)}, {models.pop()}" if len(models) == 1 else _dataset(runs)
    count = len(runs[0].questions)
    asked = "1 question" if count == 1 else f"{count} questions"
    if matched.common_of is not None:
        asked = f"the {count} questions common to all runs, of {matched.common_of}"
    return f"{about}: {len(runs)} run{'s' * (len(runs) > 1)} on {asked}"


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
        seconds=run.seconds,
        questions_per_second=run.rate,
    )
