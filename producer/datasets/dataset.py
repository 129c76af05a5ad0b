"""Dataset: rows that become samples, a prompt template, few-shot examples, and defaults."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

from common.prompts import QUESTION_ANSWERING, Example, Template
from common.records import Sample
from common.run import Layout
from producer.datasets.readers.columns import Columns
from producer.datasets.readers.formats import read_rows
from producer.datasets.readers.questions import read_example, read_question
from producer.datasets.readers.rows import Row
from producer.datasets.selection import Selection

DEFAULT_FEW_SHOT = 5
BUNDLED = Path(__file__).parent / "data"


def bundled_few_shot(count: int) -> list[Example]:
    """The first `count` questions and answers of the file that comes with the producer."""
    return few_shot_from(BUNDLED / "webqa_mini_few_shot.jsonl", count)


def few_shot_from(
    path: Path, count: int | None, example: Callable[[Row], Example] = read_example
) -> list[Example]:
    """Examples from the first `count` rows of a file, or from all; `example` reads one row."""
    return list(islice(map(example, read_rows(path)), count))


@dataclass(frozen=True)
class Skipped:
    """A row that is no sample of the data set. Enqueueing counts such rows by their reason."""

    reason: str


@dataclass(frozen=True)
class Dataset:
    """A named data set.

    rows: called once for each pass; yields the rows in the order of the data set. read: makes a
    sample of a row. Both may raise UsageError. few_shot: returns that many examples, or raises
    HubError; a run over a file then takes `fallback_examples`. default_few_shot: number of
    examples where the person gives none. few_shot_origin: where examples come from, in words.
    example: reads a row of a file given with --few-shot. default_selection: for data sets with
    manual and automatic paraphrases. The other defaults belong to the options of the same name.
    notes: sentences for the person, complete once all rows were read.
    """

    name: str
    template: Template
    rows: Callable[[], Iterator[Row]]
    few_shot: Callable[[int], list[Example]]
    default_few_shot: int
    few_shot_origin: str
    read: Callable[[Row], Sample | Skipped] = read_question
    example: Callable[[Row], Example] = read_example
    fallback_examples: Callable[[int], list[Example]] = bundled_few_shot
    default_num_paraphrases: int = 5
    default_selection: Selection | None = None
    default_layout: Layout = "concat"
    default_max_new_tokens: int = 20
    notes: Callable[[], tuple[str, ...]] = field(default=tuple, compare=False)

    def samples(self) -> Iterator[Sample]:
        """Samples with all their paraphrases, the question first; skipped rows are left out."""
        return (sample for sample in map(self.read, self.rows()) if isinstance(sample, Sample))

    def with_file(self, path: Path) -> "Dataset":
        """A copy that reads the rows of a file in place of its own."""
        columns = Columns()
        return replace(self, rows=lambda: read_rows(path, columns), notes=columns.notes)


def file_dataset(name: str, path: Path) -> Dataset:
    """A question file under a name that the person chose."""
    dataset = Dataset(
        name=name,
        template=QUESTION_ANSWERING,
        rows=lambda: iter(()),
        few_shot=bundled_few_shot,
        default_few_shot=DEFAULT_FEW_SHOT,
        few_shot_origin="the bundled examples",
    )
    return dataset.with_file(path)
