"""Outputs of an engine call: generations and answers of each sample.

A method's answer may need several generations: a vote, or a confidence that counts draws. Text is
decoded when an answer is asked for: a caller that reads tokens alone does not pay for the text.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from common.answer_text import answer_key, majority
from common.errors import SampleError, UsageError
from common.methods import Method
from common.records import Sample
from worker.engine.answer_end import AnswerText
from worker.engine.ensembles import Ensemble, SamplePlan
from worker.engine.request import Request
from worker.engine.stats import EngineStats

ToText = Callable[[Sequence[int]], AnswerText]
"""Tokens of an answer -> its text, and what of the text is reasoning."""


@dataclass(frozen=True)
class Generation:
    """Output of an ensemble: token ids, the stop token included, and their log-probabilities."""

    tokens: tuple[int, ...]
    token_logprobs: tuple[float, ...]
    finish_reason: str

    @property
    def not_a_number(self) -> int | None:
        """Index of the first token that was picked from NaN logits; None if there is none.

        One NaN or infinite logit makes all log-probabilities of its row NaN.
        """
        return next((i for i, p in enumerate(self.token_logprobs) if math.isnan(p)), None)

    @property
    def logprob(self) -> float:
        """Log-probability of the whole answer."""
        return math.fsum(self.token_logprobs)


MethodGenerations = dict[str, list[Generation] | SampleError]
"""By method name: one Generation, or one for each paraphrase, or the error of that method.
`confidence` has for each paraphrase the greedy one, then its draws."""


def collect(plan: SamplePlan, generations: Mapping[Ensemble, Generation]) -> MethodGenerations:
    """Return the generations of a sample's ensembles by method, and the errors of the others."""
    by_method = {
        name: [generations[ensemble] for ensemble in ensembles]
        for name, ensembles in plan.by_method.items()
    }
    return {**by_method, **plan.errors}


@dataclass(frozen=True)
class Answer:
    """An answer of a method to a sample.

    text: the whole text. reasoning: what the model thought before it answered; None if it did not.
    prediction: the short answer in what follows. tokens: generated ids, the stop token included.
    token_logprobs: natural log, one for each token. finish_reason: "stop:" with the stop string,
    "eos" or "length". singles: the answers of the paraphrases alone, if the same call was asked
    for `majority` or `per_prompt`. confidence: share of `draws` that equal the prediction.
    draws: the drawn answers of the paraphrase. Both None but for `confidence`.
    """

    text: str
    reasoning: str | None
    prediction: str
    tokens: tuple[int, ...]
    token_logprobs: tuple[float, ...]
    finish_reason: str
    singles: "tuple[Answer, ...] | None" = None
    confidence: float | None = None
    draws: "tuple[Answer, ...] | None" = None

    @property
    def logprob(self) -> float:
        """Log-probability of the whole answer."""
        return math.fsum(self.token_logprobs)


@dataclass(frozen=True)
class AnswerReader:
    """Reads the answers to a request. to_text: turns tokens into text."""

    request: Request
    to_text: ToText

    def read(self, generation: Generation) -> Answer:
        """Decode the text of a generation and take the prediction from what is no reasoning."""
        text = self.to_text(generation.tokens)
        return Answer(
            text.whole,
            text.reasoning,
            self.request.predict(text.answer),
            generation.tokens,
            generation.token_logprobs,
            generation.finish_reason,
        )

    def method(self, name: str) -> Method:
        """Return a method of the request. Raises UsageError for one that was not requested."""
        names = [method.name for method in self.request.methods]
        if name not in names:
            raise UsageError(
                f"method {name!r} was not requested; answers are there for {', '.join(names)}"
            )
        return self.request.methods[names.index(name)]

    def confidences(self, generations: Sequence[Generation]) -> tuple[Answer, ...]:
        """The greedy answer of each paraphrase, with its draws and the share of equal draws.

        generations: for each paraphrase the greedy one, then its draws. Raises UsageError if the
        request has no `sampling`.
        """
        if self.request.sampling is None:
            raise UsageError("a confidence counts drawn answers: give the request `sampling`")
        width = 1 + self.request.sampling.num_draws
        answers = [self.read(generation) for generation in generations]
        return tuple(
            with_confidence(answers[first], answers[first + 1 : first + width])
            for first in range(0, len(answers), width)
        )


def elect(answers: Sequence[Answer]) -> Answer:
    """Return the answer that wins the vote; ties go by log-probability per token."""
    means = [answer.logprob / len(answer.tokens) for answer in answers]
    return answers[majority([answer.prediction for answer in answers], means)]


def with_confidence(greedy: Answer, draws: Sequence[Answer]) -> Answer:
    """The greedy answer with its confidence: answers are compared as in votes."""
    key = answer_key(greedy.prediction)
    equal = sum(answer_key(draw.prediction) == key for draw in draws)
    return replace(greedy, confidence=equal / len(draws), draws=tuple(draws))


@dataclass(frozen=True)
class SampleAnswers:
    """The answers of one sample, by method: `answers["avg"].prediction`.

    generations: by method name. reader: reads the answers when they are asked for.
    """

    sample: Sample
    generations: Mapping[str, list[Generation] | SampleError] = field(hash=False)
    reader: AnswerReader = field(compare=False, repr=False)

    def __getitem__(self, method: str) -> Answer:
        """The answer of a method. Raises the method's SampleError if it has none.

        Raises UsageError for a method that was not requested, and for one with several answers.
        """
        answers = self.all(method)
        if len(answers) != 1:
            raise UsageError(
                f"method {method!r} has {len(answers)} answers to a sample, not one: take "
                f"`all({method!r})`"
            )
        return answers[0]

    def all(self, method: str) -> tuple[Answer, ...]:
        """Every answer of a method: one, or one for each paraphrase, or every draw.

        Raises the method's SampleError if it has none, and UsageError for a method that was not
        requested.
        """
        row, generations = self.reader.method(method), self._generations(method)
        if row.draws == "also":
            return self.reader.confidences(generations)
        answers = tuple(map(self.reader.read, generations))
        if row.row_per_paraphrase or row.sequences == "first":
            return answers
        if row.fusion == "vote":
            return (replace(elect(answers), singles=answers),)
        singles = self._singles()
        return tuple(replace(answer, singles=singles) for answer in answers)

    @property
    def errors(self) -> dict[str, SampleError]:
        """Why methods have no answer, by method name."""
        return {n: e for n, e in self.generations.items() if isinstance(e, SampleError)}

    def _generations(self, method: str) -> list[Generation]:
        generations = self.generations[method]
        if isinstance(generations, SampleError):
            raise generations
        return generations

    def _singles(self) -> tuple[Answer, ...] | None:
        """The answers of each paraphrase alone, if the same call was asked for single answers."""
        generations = self.generations.get("majority", self.generations.get("per_prompt"))
        if generations is None or isinstance(generations, SampleError):
            return None
        return tuple(map(self.reader.read, generations))


@dataclass(frozen=True)
class EngineOutput:
    """Output of an engine call: the answers of each sample, in order, and the work done."""

    answers: list[SampleAnswers]
    stats: EngineStats
