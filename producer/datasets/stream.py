"""SampleStream: one pass over a data set, with the notes and the duplicates it comes upon."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from common.errors import UsageError
from common.records import Sample
from producer.datasets.dataset import Dataset, Skipped
from producer.datasets.duplicates import UuidHashes, refuse_duplicates
from producer.datasets.readers.rows import Row
from producer.datasets.selection import Selection


class SampleStream:
    """One pass over the first samples of a data set.

    selection: which paraphrases a sample keeps; None keeps all. limit: how many samples; None is
    all. alone: keep paraphrase 0 only. Iterating raises UsageError where there is no sample, or,
    at the end, where two have the same uuid. `where` names the row of the current sample; `notes`
    is complete after the last one.
    """

    def __init__(
        self,
        dataset: Dataset,
        selection: Selection | None,
        limit: int | None,
        alone: bool = False,
    ) -> None:
        self._dataset = dataset
        self._selection = selection
        self._limit = limit
        self._alone = alone
        self._row: Row | None = None
        self._left_out = 0
        self._read = 0
        self._short = 0
        self._skipped: Counter[str] = Counter()

    def __iter__(self) -> Iterator[Sample]:
        hashes = UuidHashes()
        for row, sample in self._samples(self._skipped):
            self._row = row
            self._read += 1
            hashes.add(sample.uuid)
            yield self._choose_paraphrases(sample)
        if not self._read:
            why = "; ".join(self.notes) or "it is empty"
            raise UsageError(f"--dataset {self._dataset.name} has no questions: {why}")
        if repeated_hashes := hashes.repeated_hashes():
            refuse_duplicates(self._samples(Counter()), repeated_hashes)

    @property
    def where(self) -> str:
        """The row of the current sample, in words; empty before the first."""
        return self._row.where if self._row else ""

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the person: rows skipped, paraphrases left out or missing."""
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
        return (*notes, *self._dataset.notes())

    def _samples(self, skipped: Counter[str]) -> Iterator[tuple[Row, Sample]]:
        """Samples up to the limit, each with its row; counts the others in `skipped`."""
        number = 0
        for row in self._dataset.rows():
            sample = self._dataset.read(row)
            if isinstance(sample, Skipped):
                skipped[sample.reason] += 1
                continue
            number += 1
            yield row, sample
            if number == self._limit:
                return

    def _choose_paraphrases(self, sample: Sample) -> Sample:
        if self._selection is not None:
            sample = self._selection.apply(sample)
            self._check(sample, self._selection)
        if not self._alone:
            return sample
        self._left_out += len(sample.paraphrases) > 1
        return replace(sample, paraphrases=sample.paraphrases[:1])

    def _check(self, sample: Sample, selection: Selection) -> None:
        if not sample.paraphrases:
            raise UsageError(
                f"{self.where}: there is no paraphrase for --num-manual {selection.num_manual} "
                f"and --num-auto {selection.num_auto}; ask for paraphrases of the other kind too"
            )
        self._short += len(sample.paraphrases) < selection.total
