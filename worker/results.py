"""Results: the answers of one sample, or its error -> the result rows of a part.

Reasoning has a column of its own: predictions, votes and confidences leave out all reasoning.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from common.errors import SampleError
from common.methods import PARAPHRASES, get_method
from common.records import ErrorKind, ResultRow, Sample, SingleAnswer
from common.run import RunSpec
from worker.engine.outputs import Answer, SampleAnswers

SampleOutcome = SampleAnswers | Exception
"""The answers of one sample by method, or the error of the sample."""

ToPrompt = Callable[[str], str]
"""A paraphrase -> its literal prompt."""


@dataclass(frozen=True)
class RowMaker:
    """Makes the result rows of one run."""

    spec: RunSpec
    to_prompt: ToPrompt

    def rows(self, row: int, sample: Sample, outcome: SampleOutcome) -> list[ResultRow]:
        """The rows of one sample: its answers, or its error. row: number of the sample."""
        name = self.spec.method
        if isinstance(outcome, Exception):
            return self._failed(row, sample, outcome)
        if error := outcome.errors.get(name):
            return self._failed(row, sample, error)
        per_paraphrase = get_method(name).row_per_paraphrase
        answers = outcome.all(name) if per_paraphrase else (outcome[name],)
        return [self._row(row, sample, answer, i) for i, answer in enumerate(answers)]

    def _failed(self, row: int, sample: Sample, error: Exception) -> list[ResultRow]:
        return failed_rows(self.spec, row, sample, describe(error), kind_of(error))

    def _row(self, row: int, sample: Sample, answer: Answer, index: int) -> ResultRow:
        per_paraphrase = get_method(self.spec.method).row_per_paraphrase
        paraphrase = sample.paraphrases[index] if per_paraphrase else None
        return ResultRow(
            row=row,
            paraphrase_index=index,
            uuid=sample.uuid,
            paraphrase=paraphrase,
            prompt=None if paraphrase is None else self.to_prompt(paraphrase),
            prediction=answer.prediction,
            generation=answer.text,
            reasoning=answer.reasoning,
            tokens=list(answer.tokens),
            token_logprobs=list(answer.token_logprobs),
            logprob=answer.logprob,
            finish_reason=answer.finish_reason,
            singles=None if answer.singles is None else list(map(single_answer, answer.singles)),
            confidence=answer.confidence,
            sampled=None if answer.draws is None else [d.prediction for d in answer.draws],
        )


def single_answer(answer: Answer) -> SingleAnswer:
    """Return the part of a paraphrase's own answer that a row keeps."""
    return SingleAnswer(
        answer.prediction,
        list(answer.tokens),
        list(answer.token_logprobs),
        answer.finish_reason,
    )


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
    """Tell whose fault an error is: the sample's if the engine raised a SampleError."""
    return "sample" if isinstance(error, SampleError) else "worker"


def describe(error: Exception) -> str:
    """One line for the `error` column."""
    if isinstance(error, SampleError):
        return str(error)
    return f"{type(error).__name__}: {str(error).strip() or 'no message'}".splitlines()[0][:500]
