"""Choose the few-shot examples of a request's runs."""

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
    """Return the examples, and a note for the user if they are not the expected ones.

    Raises UsageError if there are fewer examples than the request names.
    """
    if request.step == PARAPHRASES.name:
        return (), None  # The paraphrase prompt has its own examples.
    count = request.num_few_shot
    if request.prompt_file and not request.prompt_file.takes_examples:
        return _no_examples(request)
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
        # The questions come from a file or run, so the job can be done without the hub. The note
        # names the bundled examples, and the fingerprint keeps such a run apart from others.
        return tuple(dataset.fallback_examples(wanted)), (
            f"few-shot examples: {wanted} bundled ones instead of {dataset.few_shot_origin}, "
            f"because {error}"
        )


def _no_examples(request: RunRequest) -> tuple[tuple[Example, ...], str | None]:
    """The examples of a prompt file that does not say how to write one: none.

    An example in a form that is not in the file would be text that the person never wrote.
    """
    if request.num_few_shot == 0:
        return (), None
    if request.num_few_shot is not None or request.few_shot is not None:
        asked = "--few-shot" if request.few_shot else "--num-few-shot"
        raise UsageError(
            f"--prompt {request.prompt} has no key `example`, which says how an example is "
            f"written, so those of {asked} cannot be shown; add the key, or give --num-few-shot 0"
        )
    return (), f"few-shot examples: none, as --prompt {request.prompt} has no key `example`"
