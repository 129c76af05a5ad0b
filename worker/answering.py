"""Answers a shard: the engine request of its runs, and the result rows of its outcomes."""

from collections.abc import Sequence
from functools import partial

from common.errors import SampleError, StopRun
from common.methods import PARAPHRASES, get_method
from common.records import ResultRow
from common.run import RunSpec
from worker.bisect import Bisector
from worker.engine.request import Request
from worker.paraphrasing import write_paraphrases
from worker.results import RowMaker, describe
from worker.shards import Shard


def make_request(specs: Sequence[RunSpec]) -> Request:
    """The engine request of runs that share a prefill."""
    first = specs[0]
    fused = next((s for s in specs if s.layout and s.positions), None)
    return Request(
        methods=tuple(get_method(spec.method) for spec in specs),
        num_paraphrases=max(get_method(s.method).num_read(s.num_paraphrases) for s in specs),
        layout=(fused and fused.layout) or "concat",
        positions=(fused and fused.positions) or "sequential",
        prompt_format=first.prompt_format,
        max_new_tokens=first.max_new_tokens,
        stop=first.stop,
        max_reasoning_tokens=first.max_reasoning_tokens,
        sampling=first.sampling,
    )


def answer_shard(bisector: Bisector, shard: Shard) -> dict[str, list[ResultRow]]:
    """Rows of every run of the shard, by run name. Raises StopRun if every sample fails."""
    if shard.runs[0].method == PARAPHRASES:
        return {r.key.name: _paraphrases(bisector, shard, r.spec) for r in shard.runs}
    request = make_request([run.spec for run in shard.runs])
    outcomes = bisector.answer(shard.samples, request)
    _refuse_all_failed(outcomes, shard)
    rows: dict[str, list[ResultRow]] = {}
    for run in shard.runs:
        maker = RowMaker(run.spec, partial(bisector.engine.prompt, request=request))
        rows[run.key.name] = [
            result
            for row, sample, outcome in zip(shard.rows, shard.samples, outcomes, strict=True)
            for result in maker.rows(row, sample, outcome)
        ]
    return rows


def _paraphrases(bisector: Bisector, shard: Shard, spec: RunSpec) -> list[ResultRow]:
    drafts = write_paraphrases(bisector, spec, shard.samples)
    _refuse_all_failed([draft.error for draft in drafts], shard)
    return [draft.row(row, spec) for row, draft in zip(shard.rows, drafts, strict=True)]


def _refuse_all_failed(outcomes: Sequence[object], shard: Shard) -> None:
    """Raise StopRun if every sample failed: then the samples are not at fault.

    A SampleError does not count: the same sample fails in every shard.
    """
    faults = [o for o in outcomes if isinstance(o, Exception) and not isinstance(o, SampleError)]
    if len(faults) == len(shard.rows) > 1:
        raise StopRun(f"every sample of a shard failed, the first with {describe(faults[0])}")
