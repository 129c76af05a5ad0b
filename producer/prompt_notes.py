"""What a person is told of a request's prompts: sentences, and the refusal of a hopeless one."""

from collections.abc import Iterator

from common.errors import UsageError
from common.methods import PARAPHRASES
from common.models import ModelSource
from producer.known_templates import KnownTemplate
from producer.request import RunRequest


def prompt_notes(request: RunRequest, model: ModelSource) -> tuple[str, ...]:
    """Sentences on prompt style, reasoning and the limit that follows from them.

    Raises UsageError for a chat with a model whose files are here and hold no chat template.
    """
    if request.step == PARAPHRASES.name:
        return ()  # Its prompt is its own, whatever the model.
    known = KnownTemplate.read(model)
    if request.prompt_style == "chat":
        _refuse_without_template(known)
        return tuple(_chat_notes(request, known))
    if request.prompt == "plain" and known.is_instruct:
        return (
            f"{model.slug} looks like an instruct model; --prompt chat asks it by its own chat "
            "template",
        )
    return ()


def _refuse_without_template(known: KnownTemplate) -> None:
    if known.is_missing:
        raise UsageError(
            f"--prompt chat needs a chat template, and the files of model {known.model.slug} on "
            "this host hold none; take --prompt plain, or an instruct model"
        )


def _chat_notes(request: RunRequest, known: KnownTemplate) -> Iterator[str]:
    name = known.model.slug
    if request.max_new_tokens is None:
        thinking = "" if request.thinking == "off" else f" --thinking {request.thinking}"
        yield f"--max-new-tokens is {request.token_limit}, the default of --prompt chat{thinking}"
    if request.thinking == "off" and known.reasons_anyway:
        yield (
            f"--thinking off: the chat template of {name} cannot switch its reasoning off, so it "
            "may use up --max-new-tokens before it answers; --thinking on, or a number of tokens, "
            "gives it room"
        )
    elif request.thinking != "off" and known.lacks_switch and not known.reasons_anyway:
        yield (
            f"--thinking {request.thinking}: the chat template of {name} has no switch "
            "(`enable_thinking`), so its prompts are those of --thinking off and the model "
            "reasons only if it does so anyway"
        )
