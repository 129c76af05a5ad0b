"""Results: the engine's outcome of one sample -> the result rows of a part.

Knows runs and texts; a function that its caller hands over turns tokens into text. Reasoning is
kept apart from it: predictions, votes and confidences never see it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from common.answer_text import answer_key, majority
from common.errors import SampleError
from common.methods import CONFIDENCE, PARAPHRASES, Method, get_method
from common.records import ErrorKind, ResultRow, Sample, SingleAnswer
from common.run import RunSpec
from worker.engine.answer_end import AnswerText
from worker.engine.decode import Generation
from worker.engine.sample import Answers

ToText = Callable[[Generation], AnswerText]
SampleOutcome = Answers | Exception
"""The generations of one sample by method, or the error of the sample."""


ToPrompt = Callable[[str], str]
"""A paraphrase -> its literal prompt."""


@dataclass(frozen=True)
class RowMaker:
    """Makes the result rows of one run."""

    spec: RunSpec
    to_text: ToText
    to_prompt: ToPrompt

    def rows(self, row: int, sample: Sample, outcome: SampleOutcome) -> list[ResultRow]:
        """The rows of one sample: its answers, or its error. row: number of the sample."""
        generations = outcome if isinstance(outcome, Exception) else outcome[self.spec.method]
        if isinstance(generations, Exception):
            return failed_rows(self.spec, row, sample, describe(generations), kind_of(generations))
        method = get_method(self.spec.method)
        if method == CONFIDENCE:
            return self._confidences(row, sample, generations)
        if method.row_per_paraphrase:
            return [self._row(row, sample, g, index=i) for i, g in enumerate(generations)]
        singles = None if isinstance(outcome, Exception) else self._singles(method, outcome)
        best = self._elected(generations) if method.fusion == "vote" else generations[0]
        return [self._row(row, sample, best, singles=singles)]

    def _elected(self, generations: Sequence[Generation]) -> Generation:
        """The generation that wins the vote; ties go by log-probability per token."""
        means = [g.logprob / len(g.tokens) for g in generations]
        return generations[majority([self._predict(g) for g in generations], means)]

    def _singles(self, method: Method, outcome: Answers) -> list[SingleAnswer] | None:
        """The answers of each paraphrase alone, if the same engine call was asked for them."""
        if method.sequences == "first":
            return None
        generations = outcome.get("majority", outcome.get("per_prompt"))
        if generations is None or isinstance(generations, SampleError):
            return None
        return [
            SingleAnswer(self._predict(g), list(g.tokens), list(g.token_logprobs), g.finish_reason)
            for g in generations
        ]

    def _confidences(
        self, row: int, sample: Sample, generations: Sequence[Generation]
    ) -> list[ResultRow]:
        """A row per paraphrase, with the share of drawn answers that equal the greedy one.

        Answers are compared as in votes. generations: for each paraphrase the greedy one, then
        its draws.
        """
        num_draws = self.spec.sampling.num_draws if self.spec.sampling else 0
        rows = []
        for index, first in enumerate(range(0, len(generations), 1 + num_draws)):
            greedy = self._row(row, sample, generations[first], index=index)
            drawn = generations[first + 1 : first + 1 + num_draws]
            sampled = [self._predict(generation) for generation in drawn]
            key = answer_key(greedy.prediction or "")
            share = sum(answer_key(text) == key for text in sampled) / num_draws
            rows.append(replace(greedy, confidence=share, sampled=sampled))
        return rows

    def _row(
        self,
        row: int,
        sample: Sample,
        generation: Generation,
        index: int = 0,
        singles: list[SingleAnswer] | None = None,
    ) -> ResultRow:
        text, spec = self.to_text(generation), self.spec
        per_paraphrase = get_method(spec.method).row_per_paraphrase
        paraphrase = sample.paraphrases[index] if per_paraphrase else None
        return ResultRow(
            row=row,
            paraphrase_index=index,
            uuid=sample.uuid,
            paraphrase=paraphrase,
            prompt=None if paraphrase is None else self.to_prompt(paraphrase),
            prediction=spec.predict(text.answer),
            generation=text.whole,
            reasoning=text.reasoning,
            tokens=list(generation.tokens),
            token_logprobs=list(generation.token_logprobs),
            logprob=generation.logprob,
            finish_reason=generation.finish_reason,
            singles=singles,
        )

    def _predict(self, generation: Generation) -> str:
        return self.spec.predict(self.to_text(generation).answer)


def failed_rows(
    spec: RunSpec, row: int, sample: Sample, error: str, kind: ErrorKind
) -> list[ResultRow]:
    """The result rows of a sample that cannot be answered."""
    method = get_method(spec.method)
    failed = ResultRow(row, 0, sample.uuid, error=error, error_kind=kind)
    if method == PARAPHRASES:
        return [replace(failed, paraphrases=list(sample.paraphrases))]
    if not method.row_per_paraphrase:
        return [failed]
    paraphrases = sample.paraphrases[: spec.num_paraphrases]
    return [
        replace(failed, paraphrase_index=i, paraphrase=paraphrase)
        for i, paraphrase in enumerate(paraphrases)
    ]


def kind_of(error: Exception) -> ErrorKind:
    """Whose fault an error is: the sample's only if the engine says so."""
    return "sample" if isinstance(error, SampleError) else "worker"


def describe(error: Exception) -> str:
    """One line for the `error` column."""
    if isinstance(error, SampleError):
        return str(error)
    return f"{type(error).__name__}: {str(error).strip() or 'no message'}".splitlines()[0][:500]
