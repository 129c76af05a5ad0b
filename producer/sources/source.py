"""What a source is: samples that stream, a template, and where few-shot examples come from."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from common.errors import UsageError
from common.prompts import QUESTION_ANSWERING, Example, Template
from common.schema import Sample
from producer.sources.files import Question, read_questions

DEFAULT_FEW_SHOT = 5
BUNDLED = Path(__file__).parent / "data"


class HubError(UsageError):
    """A hub cannot be reached; who has something else to take may go on with it."""


@dataclass(frozen=True)
class Source:
    """A named data set.

    questions: called anew for each pass, in the order of the data set. few_shot: takes how
    many examples, raises HubError where they cannot be fetched. default_few_shot: how many if
    the person says nothing; few_shot_origin: where they come from, in words.
    """

    name: str
    template: Template
    questions: Callable[[], Iterator[Question]]
    few_shot: Callable[[int], list[Example]]
    default_few_shot: int
    few_shot_origin: str

    def samples(self) -> Iterator[Sample]:
        """Samples with all their wordings, the question first."""
        return map(to_sample, self.questions())


def to_sample(question: Question) -> Sample:
    """A question and its wordings; a missing uuid is the md5 of the question.

    >>> to_sample(Question("who?", ("x",), None, ("who?", "which one?"))).paraphrases
    ('who?', 'which one?')
    """
    wordings = [question.question, *(p for p in question.paraphrases if p != question.question)]
    uuid = question.uuid or hashlib.md5(question.question.encode()).hexdigest()
    return Sample(uuid, tuple(wordings), question.answers)


def file_source(name: str, path: Path, named: Source | None) -> Source:
    """A file in place of a data set's questions; examples stay the named data set's, if any."""
    if named is not None:
        return replace(named, questions=lambda: read_questions(path))
    return Source(
        name=name,
        template=QUESTION_ANSWERING,
        questions=lambda: read_questions(path),
        few_shot=bundled_few_shot,
        default_few_shot=DEFAULT_FEW_SHOT,
        few_shot_origin="the bundled examples",
    )


def bundled_few_shot(count: int) -> list[Example]:
    """The first of the examples that come with the producer."""
    return few_shot_from(BUNDLED / "webqa_mini_few_shot.jsonl", count)


def few_shot_from(path: Path, count: int | None) -> list[Example]:
    """The first rows of a file, each with its first answer."""
    examples = [(q.question, q.answers[0]) for q in read_questions(path)]
    return examples if count is None else examples[:count]
