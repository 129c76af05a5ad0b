"""Readable samples: the requested methods that can read a sample, and the others' errors."""

from common.errors import SampleError
from common.methods import Method
from common.records import Sample
from worker.engine.request import Request


def readable_methods(
    sample: Sample, request: Request
) -> tuple[tuple[Method, ...], dict[str, SampleError]]:
    """Return the methods that can read this sample, and the errors of the others.

    Each method is judged alone: if a fault of one cost another its answer, the result of a run
    would depend on the methods it was requested with.
    """
    faults = {method.name: _fault(method, sample, request) for method in request.methods}
    errors = {name: SampleError(fault) for name, fault in faults.items() if fault}
    return tuple(m for m in request.methods if m.name not in errors), errors


def _fault(method: Method, sample: Sample, request: Request) -> str | None:
    paraphrases = sample.paraphrases[: method.num_read(request.num_paraphrases)]
    empty = [i for i, paraphrase in enumerate(paraphrases) if not paraphrase.strip()]
    if not paraphrases:
        return "it has no paraphrase"
    if empty:
        return f"paraphrase {empty[0]} is empty"
    if method.reads_confidences and len(sample.confidences or ()) < len(paraphrases):
        return f"it has {len(sample.confidences or ())} confidences, not {len(paraphrases)}"
    if method.visibility == "cross_manual" and sample.num_manual is None:
        return "it does not tell which paraphrases are manual"
    return None
