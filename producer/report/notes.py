"""What a reader of a report must know besides its figures, one sentence each."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from math import comb

from producer.report.answers import QuestionResult
from producer.report.compare import parties
from producer.report.figures import short_names
from producer.report.load import RunAnswers
from producer.report.matching import Matched
from producer.report.paraphrases import MAX_SUBSETS
from producer.report.statistics import RESAMPLES
from producer.report.stored import SingleSources

Names = Mapping[str, str]

_COMPARED = {
    "dataset", "dataset_sha256", "num_samples", "model", "model_source", "method",
    "num_paraphrases", "layout", "positions",
}  # fmt: skip
"""Fields of a spec that a run's key and its line in the report tell."""

_FEWEST = 6
"""Of n questions that all flip one way the exact p-value is 2 / 2**n: under 5 % from here."""


def all_notes(matched: Matched, sources: SingleSources, seed: int) -> Iterator[str]:
    """Every note that applies: of the figures, of the runs, of the paraphrases."""
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


def _on_cut(matched: Matched) -> Iterator[str]:
    if matched.common_of is not None:
        yield (
            f"Cut to {len(matched.runs[0].questions)} of {matched.common_of} questions; seconds "
            "and questions/s are of everything a run answered."
        )


def _on_run(run: RunAnswers, name: str) -> Iterator[str]:
    merged = run.manifest
    if merged.partial:
        yield f"{name} is PARTIAL: merged with {merged.found} of {merged.expected} questions."
    if merged.mixed_choices:
        yield f"{name} was answered with mixed choices of device, dtype or attention."
    if run.rescored:
        yield (
            f"{name} was scored by other versions, whose columns are not used: it is judged anew "
            f"here, and `producer score {run.key}` writes these scores."
        )


def _on_differences(runs: Sequence[RunAnswers], names: Names) -> Iterator[str]:
    """Runs may be compared across anything; what their keys do not tell is told here."""
    first = runs[0]
    for run in runs[1:]:
        both = f"{names[first.key]} and {names[run.key]}"
        fields = sorted(first.spec.differences(run.spec).keys() - _COMPARED)
        if fields:
            yield f"{both} also differ in {', '.join(fields)}."
        other = sum(map(_other_paraphrases, first.questions.values(), run.questions.values()))
        if other:
            yield f"{both} read other paraphrases of {other} questions."


def _other_paraphrases(one: QuestionResult, other: QuestionResult) -> bool:
    return any(a != b for a, b in zip(one.paraphrases, other.paraphrases, strict=False))


def _on_seconds(runs: Sequence[RunAnswers], names: Names) -> Iterator[str]:
    if sum(run.seconds is not None for run in runs) > 1:
        yield "Runs that were answered together share their seconds, so these do not add up."
    untimed = [names[run.key] for run in runs if run.seconds is None]
    if untimed:
        yield f"No seconds, as parts are gone or counted none: {', '.join(untimed)}."


def _on_pairs(runs: Sequence[RunAnswers], names: Names) -> Iterator[str]:
    compared = parties(runs)
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


def _on_sources(sources: SingleSources, names: Names) -> Iterator[str]:
    for same in dict.fromkeys(sources.same_as.values()):
        keepers = [names[key] for key, of in sources.same_as.items() if of == same]
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
        counts = [len(replies) for replies in answers]
        fewest, most = min(counts), max(counts)
        if fewest < most:
            yield (
                f"{names[key]}: questions have {fewest} to {most} paraphrases; accuracy by their "
                f"number is of the first {fewest} of each."
            )
        if any(comb(fewest, count) > MAX_SUBSETS for count in range(fewest)):
            yield (
                f"{names[key]}: of K paraphrases all subsets are taken, or {MAX_SUBSETS} of them, "
                "drawn, where there are more."
            )
