"""Answering a shard: engine calls, and rows for what cannot be answered.

One bad sample is one row. A call that fails is cut in two until the sample that fails is
alone; its neighbours are answered. If every sample fails, it is not the samples: the run stops.
"""

import logging
from collections.abc import Sequence

from common.errors import RetryShard, SampleError, StopRun
from common.methods import get_method
from common.run import RunSpec
from common.schema import Answer, Sample
from worker.engine.engine import Engine
from worker.engine.request import Counts, Request
from worker.engine.sample import Answers
from worker.shard import Shard

logger = logging.getLogger(__name__)

Outcome = Answers | Exception


def make_request(specs: Sequence[RunSpec]) -> Request:
    """What to ask of the engine for runs that share a prefill."""
    first = specs[0]
    fused = next((s for s in specs if s.layout and s.positions), None)
    return Request(
        methods=tuple(get_method(spec.method) for spec in specs),
        num_wordings=max(get_method(s.method).num_wordings(s.num_paraphrases) for s in specs),
        layout=(fused and fused.layout) or "concat",
        positions=(fused and fused.positions) or "sequential",
        template=first.template,
        few_shot=first.few_shot,
        max_new_tokens=first.max_new_tokens,
    )


def answer_shard(engine: Engine, shard: Shard, counts: Counts) -> dict[str, list[Answer]]:
    """Rows of every run of the shard, by run name; raises StopRun if nothing can be answered."""
    request = make_request([run.spec for run in shard.runs])
    wordings = [sample.paraphrases for sample in shard.samples]
    outcomes = answer_bisected(engine, wordings, request, counts)
    faults = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
    if len(faults) == len(outcomes) > 1:
        raise StopRun(f"every sample of a shard failed, the first with {describe(faults[0])}")
    rows: dict[str, list[Answer]] = {}
    for run in shard.runs:
        rows[run.key.name] = [
            answer
            for row, sample, outcome in zip(shard.rows, shard.samples, outcomes, strict=True)
            for answer in _answers(engine, run.spec, row, sample, outcome)
        ]
    return rows


def answer_bisected(
    engine: Engine, wordings: Sequence[Sequence[str]], request: Request, counts: Counts
) -> list[Outcome]:
    """An outcome per sample: its answers by method, or what was wrong with it."""
    try:
        return list(engine.answer(wordings, request, counts))
    except (StopRun, RetryShard):
        raise
    except Exception as error:
        if len(wordings) == 1:
            logger.warning("a sample cannot be answered: %s", describe(error))
            return [error]
        middle = len(wordings) // 2
        halves = wordings[:middle], wordings[middle:]
        return [o for half in halves for o in answer_bisected(engine, half, request, counts)]


def failed_answers(spec: RunSpec, row: int, sample: Sample, error: str) -> list[Answer]:
    """The rows of a sample that could not be answered."""
    method = get_method(spec.method)
    if not method.row_per_wording:
        return [Answer(row, 0, sample.uuid, error=error)]
    wordings = sample.paraphrases[: spec.num_paraphrases]
    return [
        Answer(row, i, sample.uuid, paraphrase=wording, error=error)
        for i, wording in enumerate(wordings)
    ]


def _answers(
    engine: Engine, spec: RunSpec, row: int, sample: Sample, outcome: Outcome
) -> list[Answer]:
    found = outcome if isinstance(outcome, Exception) else outcome[spec.method]
    if isinstance(found, Exception):
        return failed_answers(spec, row, sample, describe(found))
    per_wording = get_method(spec.method).row_per_wording
    answers = []
    for i, generated in enumerate(found):
        wording = sample.paraphrases[i] if per_wording else None
        text = engine.text(generated)
        answers.append(
            Answer(
                row=row,
                wording=i,
                uuid=sample.uuid,
                paraphrase=wording,
                prompt=spec.template.prompt(wording, spec.few_shot) if wording else None,
                prediction=spec.template.predict(text),
                generation=text,
                tokens=list(generated.tokens),
                logprob=generated.logprob,
                finish_reason=generated.finish_reason,
            )
        )
    return answers


def describe(error: Exception) -> str:
    """One line for the `error` column."""
    if isinstance(error, SampleError):
        return str(error)
    return f"{type(error).__name__}: {str(error).strip() or 'no message'}".splitlines()[0][:500]
