"""A report in sentences: notes, verdicts, failures, headline.

Computes no statistics: sentences state what the document's p-values and intervals decide.
"""

from collections.abc import Iterator, Sequence
from itertools import chain
from math import comb

from producer.cut_off import cut_off_sentence
from producer.report.answers import QuestionResult
from producer.report.compare import comparable_runs
from producer.report.document import ALPHA, Comparison, Document
from producer.report.formatting import RunNames, listed, p_value, short_names, unbroken_percent
from producer.report.load import MatchedRuns, RunAnswers
from producer.report.paraphrases import MAX_SUBSETS
from producer.report.singles import SingleSources
from producer.report.statistics import RESAMPLES

METRICS = {
    "exact": "exact match with any gold answer, after SQuAD normalization",
    "lemma": "lemma match: the lemmas of a gold answer stand side by side, in order, in the "
    "prediction",
}

MAX_FAILURES = 5
"""Failed questions named for each run; further ones are counted."""

MAX_PAIRS = 6
"""Pairs that do not differ are named up to this many, and counted beyond."""

_NAMED_FIELDS = {
    "dataset", "dataset_sha256", "num_samples", "model", "model_source", "method",
    "num_paraphrases", "layout", "positions", "prompt", "thinking", "date_string", "revision",
}  # fmt: skip
"""Fields of a RunSpec that the reader sees in the run's key or in its row of the report."""

_FEWEST = 6
"""If all n questions flip one way, the exact p-value is 2 / 2**n: below 5 % from 6 questions."""


def all_notes(matched: MatchedRuns, sources: SingleSources, seed: int) -> Iterator[str]:
    """Yield every note that applies: on the figures, the runs, the paraphrases."""
    runs, names = matched.runs, short_names([run.key for run in matched.runs])
    yield (
        "Intervals are 95 %: Wilson's where every question counts 0 or 1, else percentile "
        f"bootstrap over questions, {RESAMPLES:,} resamples, seed {seed}. Failed rows count as "
        "wrong."
    )
    yield from chain(
        _on_cut(matched),
        *(_on_run(run, names[run.key]) for run in runs),
        _on_differences(runs, names),
        _on_seconds(runs, names),
        _on_pairs(runs, names),
        _on_sources(sources, names),
    )


def _on_cut(matched: MatchedRuns) -> Iterator[str]:
    if matched.common_of is not None:
        yield (
            f"Cut to {len(matched.runs[0].questions)} of {matched.common_of} questions; seconds "
            "and questions/s are of everything a run answered."
        )


def _on_run(run: RunAnswers, name: str) -> Iterator[str]:
    manifest = run.manifest
    if manifest.partial:
        yield f"{name} is PARTIAL: merged with {manifest.found} of {manifest.expected} questions."
    if manifest.mixed_choices:
        yield f"{name} was answered with mixed choices of device, dtype or attention."
    questions = run.questions.values()
    if cut_off := sum(question.cut_off for question in questions):
        rows = sum(len(question.replies) for question in questions)
        yield f"{name}: {cut_off_sentence(cut_off, rows, run.spec.max_new_tokens)}"
    if run.rescored:
        yield (
            f"{name} was scored by other versions, whose columns are not used: it is judged anew "
            f"here, and `producer score {run.key}` writes these scores."
        )


def _on_differences(runs: Sequence[RunAnswers], names: RunNames) -> Iterator[str]:
    """Runs may differ in anything; yield the differences that their keys do not show."""
    first = runs[0]
    for run in runs[1:]:
        both = f"{names[first.key]} and {names[run.key]}"
        fields = sorted(first.spec.differences(run.spec).keys() - _NAMED_FIELDS)
        if fields:
            yield f"{both} also differ in {', '.join(fields)}."
        other = sum(map(_other_paraphrases, first.questions.values(), run.questions.values()))
        if other:
            yield f"{both} read other paraphrases of {other} questions."


def _other_paraphrases(one: QuestionResult, other: QuestionResult) -> bool:
    return any(a != b for a, b in zip(one.paraphrases, other.paraphrases, strict=False))


def _on_seconds(runs: Sequence[RunAnswers], names: RunNames) -> Iterator[str]:
    if sum(run.seconds is not None for run in runs) > 1:
        yield "Runs that were answered together share their seconds, so these do not add up."
    untimed = [names[run.key] for run in runs if run.seconds is None]
    if untimed:
        yield f"No seconds, as parts are gone or counted none: {', '.join(untimed)}."


def _on_pairs(runs: Sequence[RunAnswers], names: RunNames) -> Iterator[str]:
    compared = comparable_runs(runs)
    for run in runs:
        if run not in compared:
            yield (
                f"{names[run.key]} has an answer for each paraphrase, so it wins or loses no "
                "question: its accuracy is the mean over paraphrases, and it is in no comparison."
            )
    if len(compared) < 2:
        return
    yield (
        "Detectable: the smallest true difference that McNemar's exact test at 5 %, uncorrected, "
        "finds with 80 % power, where as many questions flip as did here."
    )
    if len(runs[0].questions) < _FEWEST:
        yield f"With fewer than {_FEWEST} questions no difference can be significant."


def _on_sources(sources: SingleSources, names: RunNames) -> Iterator[str]:
    for same in dict.fromkeys(sources.same_as.values()):
        keepers = [names[key] for key, source in sources.same_as.items() if source == same]
        keep = "keeps" if len(keepers) == 1 else "keep"
        yield (
            f"{', '.join(keepers)} {keep} the single answers of {names[same]}, which are "
            "analysed once."
        )
    for key, kept in sources.incomplete.items():
        yield f"{names[key]} keeps single answers of {kept} questions only: not analysed."
    for key in sources.lone:
        yield f"{names[key]} has one paraphrase to each question: nothing to say of paraphrases."
    for key, answers in sources.by_run.items():
        yield from _on_counts(names[key], [len(replies) for replies in answers])


def _on_counts(name: str, counts: Sequence[int]) -> Iterator[str]:
    """Notes on one run; counts: number of paraphrases of each question."""
    fewest, most = min(counts), max(counts)
    if fewest < most:
        yield (
            f"{name}: questions have {fewest} to {most} paraphrases; accuracy by their "
            f"number is of the first {fewest} of each."
        )
    if any(comb(fewest, count) > MAX_SUBSETS for count in range(fewest)):
        yield (
            f"{name}: of K paraphrases all subsets are taken, or {MAX_SUBSETS} of them, "
            "drawn, where there are more."
        )


def differs(comparison: Comparison) -> bool:
    """Whether two runs differ significantly, after Holm's correction."""
    return comparison.p_adjusted <= ALPHA


def verdict(comparison: Comparison, names: RunNames) -> str:
    """The verdict on one pair, as its row of the page shows it."""
    if not differs(comparison):
        return "no difference shown"
    run, other = names[comparison.run], names[comparison.other]
    better, worse = (run, other) if comparison.wins > comparison.losses else (other, run)
    return f"{better} is better than {worse}"


def verdicts(comparisons: Sequence[Comparison], names: RunNames) -> Iterator[str]:
    """Yield a sentence on each pair that differs significantly, and one on all other pairs."""
    for c in comparisons:
        if differs(c):
            points = f"{100 * abs(c.difference.value):.1f}"
            yield (
                f"Significant: {verdict(c, names)} by {points} points "
                f"(p {_equals(c.p_adjusted)} after Holm)."
            )
    undecided = [c for c in comparisons if not differs(c)]
    if undecided:
        pairs = "; ".join(f"{names[c.run]} and {names[c.other]}" for c in undecided[:MAX_PAIRS])
        if len(undecided) > MAX_PAIRS:
            pairs = f"{len(undecided)} pairs, in the table above"
        family = f"{len(comparisons)} comparison{'s' * (len(comparisons) > 1)}"
        yield (
            f"Not significant at 5 % after Holm over {family}: {pairs}. That does not show that "
            "they are equal."
        )


def _equals(p: float) -> str:
    return p_value(p) if p < 0.001 else f"= {p_value(p)}"


def failures(document: Document, names: RunNames) -> Iterator[str]:
    """Yield the questions that each run failed on, with the error."""
    for run, name in names.items():
        failed = [sample for sample in document.samples if run in sample.errors]
        for sample in failed[:MAX_FAILURES]:
            yield f"{name} failed on {sample.uuid}: {sample.errors[run]}"
        if len(failed) > MAX_FAILURES:
            yield f"{name} failed on {len(failed) - MAX_FAILURES} more questions."


def headline(document: Document, names: RunNames) -> str:
    """The run with the highest accuracy, and the runs that it does not differ from."""
    best = max(document.runs, key=lambda run: run.accuracy.value)
    comparisons = [c for c in document.comparisons if best.run in (c.run, c.other)]
    rivals = [c.other if c.run == best.run else c.run for c in comparisons if not differs(c)]
    accuracy = unbroken_percent(best.accuracy.value)
    if not comparisons:
        return f"{names[best.run]} has an accuracy of {accuracy}."
    if rivals:
        rest = f"but is not told apart from {listed([names[rival] for rival in rivals])}"
    else:
        rest = "and is better than each run it is compared with"
    return f"{names[best.run]} has the highest accuracy, {accuracy}, {rest}."
