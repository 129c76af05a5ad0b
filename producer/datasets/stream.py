"""Reading a data set once: samples as they come, and what is to be said about them at the end."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from common.errors import UsageError
from common.records import Sample
from producer.datasets.dataset import Dataset, to_sample
from producer.datasets.duplicates import RepeatedUuids, refuse_duplicates
from producer.datasets.question_files import Question, Skipped
from producer.datasets.selection import Selection


class SampleStream:
    """One pass over a source's first questions.

    Iterating gives samples with the paraphrases chosen, or all, or the question `alone`; at the
    end it raises UsageError where two have the same uuid. `where` tells meanwhile which row the
    sample comes from, `notes` afterwards what was skipped or left out, and where there was less
    than was asked for.
    """

    def __init__(
        self,
        source: Dataset,
        selection: Selection | None,
        limit: int | None,
        alone: bool = False,
    ) -> None:
        self.where = ""
        self._source = source
        self._selection = selection
        self._limit = limit
        self._alone = alone
        self._left_out = 0
        self._read = 0
        self._short = 0
        self._skipped: Counter[str] = Counter()

    def __iter__(self) -> Iterator[Sample]:
        uuids = RepeatedUuids()
        for question in self._questions(self._skipped):
            self.where = question.where
            sample = to_sample(question, self._selection)
            uuids.add(sample.uuid)
            self._read += 1
            if self._selection is not None:
                self._check(sample, self._selection)
            yield self._only_question(sample) if self._alone else sample
        if not self._read:
            why = "; ".join(self.notes) or "it is empty"
            raise UsageError(f"--dataset {self._source.name} has no questions: {why}")
        if repeated_hashes := uuids.repeated_hashes():
            refuse_duplicates(self._questions(Counter()), repeated_hashes)

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the person."""
        rows = self._read + self._skipped.total()
        notes = [f"{n} of {rows} rows skipped: {why}" for why, n in self._skipped.items()]
        if self._selection and self._short:
            notes.append(
                f"{self._short} of {self._read} questions have fewer paraphrases than "
                f"--num-manual {self._selection.num_manual} and --num-auto "
                f"{self._selection.num_auto} ask for; their rows hold what there is"
            )
        if self._left_out:
            notes.append(
                f"{self._left_out} of {self._read} questions have paraphrases of their own, which "
                "are left out: new ones are written"
            )
        return (*notes, *self._source.notes())

    def _questions(self, skipped: Counter[str]) -> Iterator[Question]:
        number = 0
        for question in self._source.questions():
            if isinstance(question, Skipped):
                skipped[question.reason] += 1
                continue
            number += 1
            if not question.where:
                question = replace(question, where=f"{self._source.name}, question {number}")
            yield question
            if number == self._limit:
                return

    def _only_question(self, sample: Sample) -> Sample:
        self._left_out += len(sample.paraphrases) > 1
        return replace(sample, paraphrases=sample.paraphrases[:1])

    def _check(self, sample: Sample, asked: Selection) -> None:
        if not sample.paraphrases:
            raise UsageError(
                f"{self.where}: there is no paraphrase for --num-manual {asked.num_manual} and "
                f"--num-auto {asked.num_auto}; ask for paraphrases of the other kind too"
            )
        self._short += len(sample.paraphrases) < asked.total
