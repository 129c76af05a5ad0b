"""Reading a data set once: samples as they come, and what is to be said about them at the end."""

from collections import Counter
from collections.abc import Iterator

from common.errors import UsageError
from common.schema import Sample
from producer.sources.files import Question, Skipped
from producer.sources.selection import Selection
from producer.sources.source import Source, to_sample


class Reading:
    """One pass over a source's first questions.

    Iterating gives samples with the wordings chosen, or all. `notes` tells afterwards what was
    skipped and where there was less than was asked for.
    """

    def __init__(self, source: Source, selection: Selection | None, limit: int | None) -> None:
        self.source = source
        self._selection = selection
        self._limit = limit
        self._read = 0
        self._short = 0
        self._skipped: Counter[str] = Counter()

    def __iter__(self) -> Iterator[Sample]:
        for question in self._questions():
            sample = to_sample(question, self._selection)
            if self._selection is not None:
                self._check(sample, self._selection, question)
            yield sample

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the person."""
        rows = self._read + self._skipped.total()
        notes = [f"{n} of {rows} rows skipped: {why}" for why, n in self._skipped.items()]
        if self._selection and self._short:
            notes.append(
                f"{self._short} of {self._read} questions have fewer wordings than "
                f"--num-manual {self._selection.num_manual} and --num-auto "
                f"{self._selection.num_auto} ask for; their rows hold what there is"
            )
        return tuple(notes)

    def _questions(self) -> Iterator[Question]:
        for question in self.source.questions():
            if isinstance(question, Skipped):
                self._skipped[question.reason] += 1
                continue
            self._read += 1
            yield question
            if self._read == self._limit:
                return

    def _check(self, sample: Sample, asked: Selection, question: Question) -> None:
        if not sample.paraphrases:
            raise UsageError(
                f"{question.where}: there is no wording for --num-manual {asked.num_manual} and "
                f"--num-auto {asked.num_auto}; ask for wordings of the other kind too"
            )
        self._short += len(sample.paraphrases) < asked.total
