"""What a source is: questions that stream, a template, and where few-shot examples come from."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

from common.prompts import QUESTION_ANSWERING, Example, Template
from common.records import Sample
from common.run import Layout
from producer.datasets.question_files import Question, Skipped, example_of, question_of
from producer.datasets.readers.columns import Columns
from producer.datasets.readers.formats import read_rows
from producer.datasets.readers.rows import Row
from producer.datasets.selection import Selection

DEFAULT_FEW_SHOT = 5
BUNDLED = Path(__file__).parent / "data"


def bundled_few_shot(count: int) -> list[Example]:
    """The first of the questions and answers that come with the producer."""
    return few_shot_from(BUNDLED / "webqa_mini_few_shot.jsonl", count)


def few_shot_from(
    path: Path, count: int | None, example: Callable[[Row], Example] = example_of
) -> list[Example]:
    """The first rows of a file, or all; `example` reads one."""
    return list(islice(map(example, read_rows(path)), count))


@dataclass(frozen=True)
class Dataset:
    """A named data set.

    questions: called anew for each pass, in the order of the data set. few_shot: takes how
    many examples, raises HubError where they cannot be fetched; fallback_examples are taken then.
    default_few_shot: how many if the person says nothing; few_shot_origin: where they come
    from, in words. question, example: read a row of a file given with --data or --few-shot.
    default_selection: for data sets with manual and automatic paraphrases; the other defaults are
    those of the options of the same name. notes: what is to be said once questions were read.
    """

    name: str
    template: Template
    questions: Callable[[], Iterator[Question | Skipped]]
    few_shot: Callable[[int], list[Example]]
    default_few_shot: int
    few_shot_origin: str
    question: Callable[[Row], Question | Skipped] = question_of
    example: Callable[[Row], Example] = example_of
    fallback_examples: Callable[[int], list[Example]] = bundled_few_shot
    default_num_paraphrases: int = 5
    default_selection: Selection | None = None
    default_layout: Layout = "concat"
    default_max_new_tokens: int = 20
    notes: Callable[[], tuple[str, ...]] = field(default=tuple, compare=False)

    def samples(self) -> Iterator[Sample]:
        """Samples with all their paraphrases, the question first."""
        return (to_sample(q) for q in self.questions() if isinstance(q, Question))

    def with_file(self, path: Path) -> "Dataset":
        """The same with a file's questions in place of its own."""
        columns = Columns()
        return replace(
            self,
            questions=lambda: map(self.question, read_rows(path, columns)),
            notes=columns.notes,
        )


def to_sample(question: Question, selection: Selection | None = None) -> Sample:
    """A question and its paraphrases, those chosen or all.

    >>> to_sample(Question("who?", ("x",), None, ("who?", "which one?"))).paraphrases
    ('who?', 'which one?')
    """
    uuid, num_manual = uuid_of(question), question.num_manual
    if num_manual is None:
        others = (p for p in question.paraphrases if p != question.question)
        return Sample((question.question, *others), question.answers, uuid)
    paraphrases = question.paraphrases
    if selection is not None:
        paraphrases, num_manual = selection.choose(
            uuid, paraphrases[:num_manual], paraphrases[num_manual:]
        )
    return Sample(paraphrases, question.answers, uuid, num_manual)


def uuid_of(question: Question) -> str:
    """The question's uuid; a missing one is the md5 of the question."""
    return question.uuid or hashlib.md5(question.question.encode()).hexdigest()


def file_dataset(name: str, path: Path) -> Dataset:
    """A question file under a name of the person's own."""
    source = Dataset(
        name=name,
        template=QUESTION_ANSWERING,
        questions=lambda: iter(()),
        few_shot=bundled_few_shot,
        default_few_shot=DEFAULT_FEW_SHOT,
        few_shot_origin="the bundled examples",
    )
    return source.with_file(path)
