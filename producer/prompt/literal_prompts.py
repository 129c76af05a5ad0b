"""Request -> literal prompts: the texts that a run would give its model, and their tokens.

Writes to no terminal and no file.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from common.layout import PromptTokens, TokenIds, pack_fused
from common.methods import METHODS, Method
from common.models import find_model
from common.run import Layout, Positions
from producer.examples import choose_examples
from producer.mask.compose import choose_sample, label, sample_notes
from producer.mask.tokens import TextOf, load_prompt_tokenizer
from producer.request import RunRequest


@dataclass(frozen=True)
class PromptPart:
    """Tokens of a prompt between two cuts, each with its readable text.

    name: "prompt" for a whole one; of a packed prompt "prefix", "segment", and at the end "cue"
    or "tail" (from where all paraphrases are seen) or "left out" (of the packed prompt).
    """

    name: str
    tokens: TokenIds
    labels: tuple[str, ...]


@dataclass(frozen=True)
class LiteralPrompt:
    """The prompt of one paraphrase. parts: their tokens, joined, are those of the text."""

    text: str
    parts: tuple[PromptPart, ...]

    @property
    def tokens(self) -> TokenIds:
        return tuple(token for part in self.parts for token in part.tokens)


@dataclass(frozen=True)
class LiteralPrompts:
    """The prompts of one sample.

    layout, positions: None for a method that packs none. cut: the common beginning and ending of
    the prompts; None unless the layout is `shared`. notes: sentences without a full stop.
    """

    dataset: str
    uuid: str
    model: str
    method: str
    style: str
    layout: Layout | None
    positions: Positions | None
    prompts: tuple[LiteralPrompt, ...]
    cut: PromptTokens | None
    notes: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """The prompts as JSON values; `tokens`, `prefix`, `segments` and `cue` are token ids."""
        prompts = [{"text": prompt.text, "tokens": prompt.tokens} for prompt in self.prompts]
        document: dict[str, Any] = {"uuid": self.uuid, "prompts": prompts}
        if self.cut is not None:
            cut = {"prefix": self.cut.prefix, "segments": self.cut.segments, "cue": self.cut.cue}
            document |= cut
        return document


def literal_prompts(request: RunRequest, uuid: str | None) -> LiteralPrompts:
    """The prompts of the sample `uuid`, or of the first sample, for the request's first method.

    Raises UsageError for a request that cannot be carried out, StopRun for a tokenizer or a chat
    template that cannot be used, SampleError for a sample whose prompts cannot be packed.
    """
    method, model = METHODS[request.methods[0]], find_model(request.model, request.revision)
    sample = choose_sample(request, method, uuid, may_have_fewer=True)
    examples, example_note = choose_examples(request, request.opened_dataset)
    prompt_format = request.prompt_format_of(examples)
    tokenizer = load_prompt_tokenizer(model)
    texts = tokenizer.texts(prompt_format, sample.paraphrases)
    tokens = tokenizer.cut(prompt_format, sample.paraphrases)
    layout = request.chosen_layout if method.has_layout else None
    positions = request.chosen_positions if method.has_layout else None
    cuts = cut_marks(tokens, layout, positions)
    notes = [
        *([example_note] if example_note else []),
        *sample_notes(request, method, sample, uuid),
        *_method_notes(request, method, len(sample.paraphrases)),
        *(f"{name}: {note}" for name, note in tokenizer.chat.notes(prompt_format).items()),
    ]
    return LiteralPrompts(
        request.dataset, sample.uuid, model.slug, method.name, request.prompt, layout, positions,
        tuple(
            LiteralPrompt(text, tuple(_parts(marked, tokenizer.literal)))
            for text, marked in zip(texts, cuts, strict=True)
        ),
        tokens if layout == "shared" else None, tuple(notes),
    )  # fmt: skip


def cut_marks(
    tokens: PromptTokens, layout: Layout | None, positions: Positions | None
) -> list[list[tuple[str, TokenIds]]]:
    """Of each prompt the names and tokens of its parts, as they stand in the packed prompt.

    layout, positions: None for a method that packs none.

    >>> tokens = PromptTokens((), (7,), ((1, 2), (3,)), (9,))
    >>> cut_marks(tokens, "shared", "aligned")[1]
    [('prefix', (7,)), ('segment', (3,)), ('cue', (9,))]
    >>> cut_marks(tokens, "concat", "aligned")
    [[('segment', (7, 1, 2)), ('left out', (9,))], [('segment', (7, 3)), ('tail', (9,))]]
    """
    if layout is None or positions is None or len(tokens.segments) == 1:
        return [[("prompt", prompt)] for prompt in tokens.prompts]
    prefix, *segments, _ = pack_fused(tokens, layout, positions).groups
    marked = []
    for number, (prompt, segment) in enumerate(zip(tokens.prompts, segments, strict=True)):
        ending = "tail" if layout == "shared" or number == len(segments) - 1 else "left out"
        if layout == "shared" and tokens.cue:
            ending = "cue"
        rest = prompt[len(prefix) + len(segment) :]
        parts = [("prefix", prefix), ("segment", segment), (ending, rest)]
        marked.append([(name, ids) for name, ids in parts if ids])
    return marked


def _parts(marked: Iterable[tuple[str, TokenIds]], text_of: TextOf) -> Iterator[PromptPart]:
    for name, ids in marked:
        yield PromptPart(name, ids, tuple(label(text_of(token)) for token in ids))


def _method_notes(request: RunRequest, method: Method, num_read: int) -> Iterator[str]:
    """Sentences on what the method makes of the prompts."""
    if method.sequences == "most_confident":
        yield f"{method.name} reads one of these prompts: that of the most confident paraphrase"
    if method.has_layout and num_read == 1:
        yield f"{method.name} makes of one paraphrase the plain prompt"
    if not method.has_layout and (request.layout or request.positions):
        yield f"--layout and --positions change nothing, because {method.name} packs no prompts"
