"""Which few-shot examples a run shows its model, and what to say about the choice."""

from pathlib import Path
from typing import Protocol

from common.errors import UsageError
from common.prompts import Example
from producer.sources import Source
from producer.sources.source import HubError, bundled_few_shot, few_shot_from


class AsksForExamples(Protocol):
    """A request that says which examples, and whether the questions come from a file."""

    @property
    def data(self) -> Path | None: ...
    @property
    def few_shot(self) -> Path | None: ...
    @property
    def num_few_shot(self) -> int | None: ...


def choose_examples(
    request: AsksForExamples, source: Source
) -> tuple[tuple[Example, ...], str | None]:
    """The examples, and a sentence where they are not the ones the person would expect."""
    count = request.num_few_shot
    if request.few_shot is not None:
        examples = few_shot_from(request.few_shot, count)
        if count is not None and len(examples) < count:
            raise UsageError(
                f"--few-shot {request.few_shot} has {len(examples)} rows, "
                f"--num-few-shot asks for {count}"
            )
        return tuple(examples), None
    wanted = source.default_few_shot if count is None else count
    try:
        examples = source.few_shot(wanted) if wanted else []
        if len(examples) < wanted:
            raise UsageError(
                f"--num-few-shot asks for {wanted} examples, {source.few_shot_origin} are "
                f"{len(examples)}"
            )
        return tuple(examples), None
    except HubError as error:
        if count is not None or request.data is None:
            raise
        # Questions come from a file: the job can be done, with examples that are said aloud
        # and recorded in the fingerprint, so such a run is never mixed with another.
        return tuple(bundled_few_shot(wanted)), (
            f"few-shot examples: {wanted} bundled ones instead of {source.few_shot_origin}, "
            f"because {error}"
        )
