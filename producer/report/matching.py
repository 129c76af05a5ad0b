"""Whether runs answered the same questions, and the cut to those they have in common.

A question is its uuid and its gold answers; paraphrases may differ, they are what is compared.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from common.errors import UsageError
from producer.report.load import RunAnswers


@dataclass(frozen=True)
class Matched:
    """Runs with the same questions in the same order; common_of: how many there were in all."""

    runs: list[RunAnswers]
    common_of: int | None


def match_questions(runs: Sequence[RunAnswers], common: bool) -> Matched:
    """Bring runs into the first one's order; raises UsageError where questions differ.

    common: cut to the questions that every run has, instead of refusing.
    """
    first = runs[0]
    for run in runs[1:]:
        _check_answers(first, run)
    everywhere = [u for u in first.questions if all(u in run.questions for run in runs)]
    in_all = {uuid for run in runs for uuid in run.questions}
    if len(everywhere) == len(in_all):
        return Matched([run.cut_to(everywhere) for run in runs], None)
    if not everywhere:
        raise UsageError("no question is common to all the runs; report runs of the same data set")
    if not common:
        raise UsageError(_difference(runs, len(everywhere)))
    return Matched([run.cut_to(everywhere) for run in runs], len(in_all))


def _check_answers(first: RunAnswers, run: RunAnswers) -> None:
    """A uuid whose gold answers differ is another question: no cut makes that comparable."""
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
