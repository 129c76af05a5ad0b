"""Writes paraphrases: the model draws each one, again where `worker.paraphrase_check` rejects.

Paraphrase i of a question is drawn after examples that show their own paraphrase i. Its seed is
made of the sample, i and the number of the attempt, so it is the same in every shard and worker.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from common.errors import StopRun
from common.methods import PARAPHRASES
from common.prompts import Example
from common.records import ResultRow, Sample
from common.run import RunSpec
from worker.bisect import Bisector
from worker.engine.request import Request
from worker.paraphrase_check import find_problem
from worker.results import describe, failed_rows, kind_of

MAX_ATTEMPTS = 8


@dataclass
class Draft:
    """A question and its paraphrases so far.

    paraphrases: the question itself, then one text per paraphrase; None before the first draw.
    problems: for each, why it is not accepted; None if it is. attempts: draws of each text.
    error: that of the sample, which then gets no paraphrases.
    """

    sample: Sample
    paraphrases: list[str | None]
    problems: list[str | None]
    attempts: list[int]
    error: Exception | None = None

    @classmethod
    def begin(cls, sample: Sample, num_paraphrases: int) -> "Draft":
        """A draft without paraphrases. num_paraphrases: counted with the question."""
        empty = num_paraphrases - 1
        paraphrases: list[str | None] = [sample.paraphrases[0], *[None] * empty]
        return cls(sample, paraphrases, [None, *["not drawn"] * empty], [0] * num_paraphrases)

    @property
    def pending(self) -> list[int]:
        """Indices of the paraphrases that are not accepted yet."""
        return [] if self.error else [i for i, problem in enumerate(self.problems) if problem]

    def take(self, i: int, text: str) -> None:
        """Check a drawn text for paraphrase i and keep the text with its problem, if any.

        An empty text does not replace a rejected text.
        """
        accepted = [p for k, p in enumerate(self.paraphrases) if p and not self.problems[k]]
        self.attempts[i] += 1
        if text or not self.paraphrases[i]:
            self.paraphrases[i], self.problems[i] = text, find_problem(text, accepted)

    def row(self, row: int, spec: RunSpec) -> ResultRow:
        """The result row of the draft, for row number `row` of the run."""
        if self.error:
            error, kind = describe(self.error), kind_of(self.error)
            return failed_rows(spec, row, self.sample, error, kind)[0]
        return ResultRow(
            row,
            0,
            self.sample.uuid,
            paraphrases=[paraphrase or "" for paraphrase in self.paraphrases],
            problems=self.problems,
            attempts=self.attempts,
        )


def write_paraphrases(bisector: Bisector, spec: RunSpec, samples: Sequence[Sample]) -> list[Draft]:
    """Draw every paraphrase of every sample until it is accepted, at most MAX_ATTEMPTS times."""
    drafts = [Draft.begin(sample, spec.num_paraphrases) for sample in samples]
    for number in range(MAX_ATTEMPTS):
        texts = {
            i: _draw(bisector, spec, [d for d in drafts if i in d.pending], i, number)
            for i in range(1, spec.num_paraphrases)
        }
        for draft in drafts:
            for i in draft.pending:
                draft.take(i, texts[i][draft.sample.uuid])
    return drafts


def _draw(
    bisector: Bisector, spec: RunSpec, drafts: Sequence[Draft], i: int, number: int
) -> dict[str, str]:
    """A text for paraphrase i of each draft, by uuid; sets the error of a draft that fails."""
    if not drafts:
        return {}
    samples = [
        Sample(d.sample.paraphrases[:1], uuid=f"{d.sample.uuid}/{i}/{number}") for d in drafts
    ]
    outcomes = bisector.answer(samples, paraphrase_request(spec, i))
    texts = {}
    for draft, outcome in zip(drafts, outcomes, strict=True):
        if isinstance(outcome, Exception):
            draft.error = outcome
        elif error := outcome.errors.get(PARAPHRASES.name):
            draft.error = error
        else:
            texts[draft.sample.uuid] = outcome.all(PARAPHRASES.name)[0].prediction
    return texts


def paraphrase_request(spec: RunSpec, i: int) -> Request:
    """The engine request for paraphrase i. Raises StopRun if the spec lacks what drawing needs."""
    if spec.sampling is None or not spec.exemplars:
        raise StopRun(
            f"the run's spec has no {'exemplars' if spec.sampling else 'sampling'}, so no "
            "paraphrases can be drawn; enqueue with --overwrite"
        )
    examples = tuple(exemplar_pair(exemplar, i) for exemplar in spec.exemplars)
    return Request(
        methods=(PARAPHRASES,),
        num_paraphrases=1,
        layout="concat",
        positions="sequential",
        prompt_format=replace(spec.prompt_format, few_shot=examples),
        max_new_tokens=spec.max_new_tokens,
        stop=spec.stop,
        max_reasoning_tokens=spec.max_reasoning_tokens,
        sampling=spec.sampling,
    )


def exemplar_pair(exemplar: Sequence[str], i: int) -> Example:
    """An exemplar's question and its paraphrase i, counted from 1; after the last, from 1 again.

    >>> exemplar_pair(("q", "w1", "w2"), 2), exemplar_pair(("q", "w1", "w2"), 3)
    (('q', 'w2'), ('q', 'w1'))
    """
    question, *paraphrases = exemplar
    return question, paraphrases[(i - 1) % len(paraphrases)]
