"""Which runs keep the single answers of their paraphrases, and those answers.

Runs answered together keep the same ones: those count once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from producer.report.answers import NO_LOGPROB, QuestionResult, Reply
from producer.report.load import RunAnswers

SingleAnswers = list[tuple[Reply, ...]]
"""Of each question the answers of its paraphrases, in their order."""


@dataclass(frozen=True)
class SingleSources:
    """by_run: single answers worth a report of their own. The rest says why a run is not there.

    same_as: the earlier run that keeps the same answers. incomplete: how many questions have
    single answers, where not all have. lone: runs with one paraphrase to each question.
    """

    by_run: dict[str, SingleAnswers] = field(default_factory=dict)
    same_as: dict[str, str] = field(default_factory=dict)
    incomplete: dict[str, int] = field(default_factory=dict)
    lone: list[str] = field(default_factory=list)


def find_sources(runs: Sequence[RunAnswers]) -> SingleSources:
    """Look through the runs; those with a row for each paraphrase come first."""
    sources = SingleSources()
    for run in sorted(runs, key=lambda run: not run.method.row_per_paraphrase):
        kept = _count_kept(run)
        if not kept:
            continue
        answers = [_of_question(run, question) for question in run.questions.values()]
        found = [replies for replies in answers if replies]
        if len(found) < len(answers):
            sources.incomplete[run.key] = kept
        elif max(map(len, found)) < 2:
            sources.lone.append(run.key)
        elif (same := _same(found, sources)) is not None:
            sources.same_as[run.key] = same
        else:
            sources.by_run[run.key] = found
    return sources


def _count_kept(run: RunAnswers) -> int:
    if run.method.row_per_paraphrase:
        return len(run.questions)
    return sum(question.singles is not None for question in run.questions.values())


def _of_question(run: RunAnswers, question: QuestionResult) -> tuple[Reply, ...] | None:
    """Those of a question that failed are paraphrases that failed; None where none were kept."""
    if run.method.row_per_paraphrase:
        return question.replies
    if question.error is not None:
        paraphrases = question.paraphrases[: run.spec.num_paraphrases]
        return tuple(Reply(None, False, NO_LOGPROB) for _ in paraphrases)
    return question.singles


def _same(found: SingleAnswers, sources: SingleSources) -> str | None:
    said = [[reply.prediction for reply in replies] for replies in found]
    for key, answers in sources.by_run.items():
        if said == [[reply.prediction for reply in replies] for replies in answers]:
            return key
    return None
