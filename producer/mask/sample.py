"""The sample that is drawn, and the few-shot examples before it."""

from dataclasses import replace

from common.errors import UsageError
from common.methods import Method
from common.prompts import Example
from common.records import Sample
from producer.datasets.stream import SampleStream
from producer.examples import choose_examples
from producer.request import RunRequest


def choose_sample(request: RunRequest, method: Method, uuid: str | None) -> Sample:
    """The sample asked for, with the paraphrases the method reads; raises UsageError for none."""
    sample = _find(request, uuid)
    needed, has = method.num_read(request.chosen_num_paraphrases), len(sample.paraphrases)
    if has < needed and request.selection is None:
        raise UsageError(
            f"sample {sample.uuid!r} of {request.dataset!r} has {has} paraphrases in all, "
            f"{needed} are asked for; ask for fewer with --num-paraphrases"
        )
    if method.visibility == "cross_manual" and sample.num_manual is None:
        raise UsageError(
            f"--method {method.name} lets manual paraphrases see each other, and data set "
            f"{request.dataset!r} does not tell which are manual; take another method or a data "
            "set that tells"
        )
    return replace(sample, paraphrases=sample.paraphrases[:needed])


def _find(request: RunRequest, uuid: str | None) -> Sample:
    for sample in SampleStream(request.opened_dataset, request.selection, None):
        if uuid in (None, sample.uuid):
            return sample
    raise UsageError(
        f"--uuid {uuid!r} is no sample of data set {request.dataset!r}; give the uuid of one, "
        "or none for the first"
    )


def choose_shown(request: RunRequest) -> tuple[tuple[Example, ...], list[str]]:
    """The examples in the prompt, and what to say of the choice: one, where nothing is asked."""
    examples, note = choose_examples(request, request.opened_dataset)
    notes = [note] if note else []
    if request.num_few_shot is None and len(examples) > 1:
        notes.append(
            f"1 few-shot example is shown of {len(examples)}, so that the picture fits; "
            "--num-few-shot shows more"
        )
        examples = examples[:1]
    return examples, notes
