"""Rows: what the engine generated for one sample -> the rows of a part.

Knows runs and texts; tokens become text through the function it is given.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from common.answer_text import answer_key, majority
from common.errors import SampleError
from common.methods import CONFIDENCE, PARAPHRASES, Method, get_method
from common.records import ResultRow, Sample, SingleAnswer
from common.run import RunSpec
from worker.engine.decode import Generation
from worker.engine.sample import Answers

ToText = Callable[[Generation], str]
Outcome = Answers | Exception


@dataclass(frozen=True)
class RowMaker:
    """Makes the rows of one run."""

    spec: RunSpec
    to_text: ToText

    def rows(self, row: int, sample: Sample, outcome: Outcome) -> list[ResultRow]:
        """The rows of one sample, or those that say why there is no answer."""
        found = outcome if isinstance(outcome, Exception) else outcome[self.spec.method]
        if isinstance(found, Exception):
            return failed_rows(self.spec, row, sample, describe(found))
        method = get_method(self.spec.method)
        if method == CONFIDENCE:
            return self._confidences(row, sample, found)
        if method.row_per_paraphrase:
            return [self._answer(row, sample, g, index=i) for i, g in enumerate(found)]
        singles = None if isinstance(outcome, Exception) else self._singles(method, outcome)
        best = self._elected(found) if method.fusion == "vote" else found[0]
        return [self._answer(row, sample, best, singles=singles)]

    def _elected(self, found: Sequence[Generation]) -> Generation:
        means = [g.logprob / len(g.tokens) for g in found]
        return found[majority([self._predict(g) for g in found], means)]

    def _singles(self, method: Method, outcome: Answers) -> list[SingleAnswer] | None:
        """The answers of the paraphrases alone, if they were asked for in the same call."""
        if method.sequences == "first":
            return None
        found = outcome.get("majority", outcome.get("per_prompt"))
        if found is None or isinstance(found, SampleError):
            return None
        return [
            SingleAnswer(self._predict(g), list(g.tokens), list(g.token_logprobs), g.finish_reason)
            for g in found
        ]

    def _confidences(
        self, row: int, sample: Sample, found: Sequence[Generation]
    ) -> list[ResultRow]:
        """Share of drawn answers that equal the greedy one, as votes compare answers."""
        num_drawn = self.spec.sampling.num_draws if self.spec.sampling else 0
        answers = []
        for index, first in enumerate(range(0, len(found), 1 + num_drawn)):
            answer = self._answer(row, sample, found[first], index=index)
            drawn = [self._predict(g) for g in found[first + 1 : first + 1 + num_drawn]]
            greedy = answer_key(answer.prediction or "")
            share = sum(answer_key(text) == greedy for text in drawn) / num_drawn
            answers.append(replace(answer, confidence=share, sampled=drawn))
        return answers

    def _answer(
        self,
        row: int,
        sample: Sample,
        generated: Generation,
        index: int = 0,
        singles: list[SingleAnswer] | None = None,
    ) -> ResultRow:
        text, spec = self.to_text(generated), self.spec
        per_paraphrase = get_method(spec.method).row_per_paraphrase
        asked = sample.paraphrases[index] if per_paraphrase else None
        return ResultRow(
            row=row,
            paraphrase_index=index,
            uuid=sample.uuid,
            paraphrase=asked,
            prompt=None if asked is None else spec.template.prompt(asked, spec.few_shot),
            prediction=spec.template.predict(text),
            generation=text,
            tokens=list(generated.tokens),
            token_logprobs=list(generated.token_logprobs),
            logprob=generated.logprob,
            finish_reason=generated.finish_reason,
            singles=singles,
        )

    def _predict(self, generated: Generation) -> str:
        return self.spec.template.predict(self.to_text(generated))


def failed_rows(spec: RunSpec, row: int, sample: Sample, error: str) -> list[ResultRow]:
    """The rows of a sample that could not be answered."""
    method = get_method(spec.method)
    if method == PARAPHRASES:
        return [ResultRow(row, 0, sample.uuid, paraphrases=list(sample.paraphrases), error=error)]
    if not method.row_per_paraphrase:
        return [ResultRow(row, 0, sample.uuid, error=error)]
    paraphrases = sample.paraphrases[: spec.num_paraphrases]
    return [
        ResultRow(row, i, sample.uuid, paraphrase=paraphrase, error=error)
        for i, paraphrase in enumerate(paraphrases)
    ]


def describe(error: Exception) -> str:
    """One line for the `error` column."""
    if isinstance(error, SampleError):
        return str(error)
    return f"{type(error).__name__}: {str(error).strip() or 'no message'}".splitlines()[0][:500]
