"""Which few-shot examples a run shows its model, and what to say about the choice."""

from common.errors import UsageError
from common.methods import PARAPHRASES
from common.prompts import Example
from producer.datasets import Dataset
from producer.datasets.dataset import few_shot_from
from producer.datasets.hub import HubError
from producer.request import RunRequest


def choose_examples(
    request: RunRequest, dataset: Dataset
) -> tuple[tuple[Example, ...], str | None]:
    """The examples, and a sentence where they are not the ones the person would expect."""
    if request.step == PARAPHRASES.name:
        return (), None  # It has examples of its own.
    count = request.num_few_shot
    if request.few_shot is not None:
        examples = few_shot_from(request.few_shot, count, dataset.example)
        if count is not None and len(examples) < count:
            raise UsageError(
                f"--few-shot {request.few_shot} has {len(examples)} rows, "
                f"--num-few-shot asks for {count}"
            )
        return tuple(examples), None
    wanted = dataset.default_few_shot if count is None else count
    try:
        examples = dataset.few_shot(wanted) if wanted else []
        if len(examples) < wanted:
            raise UsageError(
                f"--num-few-shot asks for {wanted} examples, {dataset.few_shot_origin} are "
                f"{len(examples)}"
            )
        return tuple(examples), None
    except HubError as error:
        if count is not None or (request.data is None and request.paraphrases is None):
            raise
        # Questions come from a file or run: the job can be done, with examples that are said aloud
        # and recorded in the fingerprint, so such a run is never mixed with another.
        return tuple(dataset.fallback_examples(wanted)), (
            f"few-shot examples: {wanted} bundled ones instead of {dataset.few_shot_origin}, "
            f"because {error}"
        )
