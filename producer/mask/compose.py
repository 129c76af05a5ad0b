"""Request -> picture: choose the sample and the examples, tokenize, pack, add notes."""

import unicodedata
from collections.abc import Iterator
from dataclasses import replace

from common.errors import UsageError
from common.methods import METHODS, Method
from common.models import find_model
from common.prompts import Example
from common.records import Sample
from producer.datasets.stream import SampleStream
from producer.examples import choose_examples
from producer.mask.picture import Caption, MaskedPrompt, MaskPicture, pack
from producer.mask.tokens import tokenize
from producer.request import RunRequest

_SIGNS = {" ": "·", "\n": "⏎", "\t": "⇥"}

_PLAIN = {
    "first": "reads the question alone, in a plain prompt",
    "each": "gives every paraphrase a plain prompt of its own; this is the first of {}",
    "most_confident": "reads the most confident paraphrase in a plain prompt; "
    "this is the first of {}",
    "fused": "makes of one paraphrase the plain prompt",
}
"""By `Method.sequences`: why the picture shows a plain prompt. {}: number of paraphrases."""


def compose(request: RunRequest, uuid: str | None) -> MaskPicture:
    """The picture of the sample `uuid`, or of the first sample, for the request's first method.

    Raises UsageError for a request that cannot be drawn, StopRun for a tokenizer that cannot be
    loaded.
    """
    method, model = METHODS[request.methods[0]], find_model(request.model, request.revision)
    sample = choose_sample(request, method, uuid)
    examples, notes = choose_shown(request)
    tokens, text_of = tokenize(model, request.prompt_format_of(examples), sample.paraphrases)
    layout, positions = request.chosen_layout, request.chosen_positions
    packed = pack(tokens, method, layout, positions, sample.num_manual or 0)
    notes += sample_notes(request, method, sample, uuid)
    notes += prompt_notes(request, method, packed, len(sample.paraphrases))
    return MaskPicture(
        Caption(request.dataset, sample.uuid, model.slug, method.name),
        packed,
        tuple(label(text_of(token)) for token in packed.prompt.tokens),
        tuple(notes),
    )


def choose_sample(
    request: RunRequest, method: Method, uuid: str | None, may_have_fewer: bool = False
) -> Sample:
    """The sample `uuid`, or the first, cut to the paraphrases that the method reads.

    may_have_fewer: whether a sample with fewer paraphrases will do, as it does with a selection.

    Raises UsageError if there is no such sample, or if the method cannot be drawn for it.
    """
    sample = _find(request, uuid)
    needed, has = method.num_read(request.chosen_num_paraphrases), len(sample.paraphrases)
    if has < needed and request.selection is None and not may_have_fewer:
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
    """The few-shot examples in the prompt, and notes on the choice.

    One example unless the request has a number.
    """
    examples, note = choose_examples(request, request.opened_dataset)
    notes = [note] if note else []
    if request.num_few_shot is None and len(examples) > 1:
        notes.append(
            f"1 few-shot example is shown of {len(examples)}, so that the picture fits; "
            "--num-few-shot shows more"
        )
        examples = examples[:1]
    return examples, notes


def sample_notes(
    request: RunRequest, method: Method, sample: Sample, uuid: str | None
) -> Iterator[str]:
    """Sentences on the sample, without a full stop."""
    if uuid is None:
        yield "no --uuid is given: this is the first sample"
    wanted, has = method.num_read(request.chosen_num_paraphrases), len(sample.paraphrases)
    if has < wanted:
        yield f"{wanted} paraphrases are asked for, the sample has {has}"


def prompt_notes(
    request: RunRequest, method: Method, packed: MaskedPrompt, num_paraphrases: int
) -> Iterator[str]:
    """Sentences on the prompt and its mask, without a full stop."""
    if packed.layout is None:
        yield f"{method.name} {_PLAIN[method.sequences].format(num_paraphrases)}"
        if request.layout or request.positions:
            yield "--layout and --positions change nothing in a plain prompt"
    if not packed.prompt.groups[0]:
        yield "the prefix is empty: this tokenizer puts no token before a text"
    if packed.bias:
        yield f"the tail adds to its scores with the keys of {_biases(packed)}"
    yield (
        "block sparsity is that of this prompt alone: the engine packs many samples into one "
        "mask and computes shared segments once"
    )


def _biases(packed: MaskedPrompt) -> str:
    rows = list(zip(packed.names, packed.prompt.groups, packed.bias or (), strict=True))
    return ", ".join(
        f"{name} {bias:+.2f} ({len(group)} tokens)" for name, group, bias in rows[1:-1]
    )


def label(text: str) -> str:
    """A token's text in visible signs: · for a space, ⏎ for a newline, escapes for the rest.

    >>> label(" who"), label("?\\n"), label("<|im_start|>"), label(" 日"), label("\\x07")
    ('·who', '?⏎', '<|im_start|>', '·日', '\\\\x07')
    """
    # A combining mark at the start would be drawn over the neighbouring token.
    bare = text[:1] if unicodedata.combining(text[:1] or " ") else ""
    return bare.encode("unicode_escape").decode() + "".join(map(_sign, text[len(bare) :]))


def _sign(character: str) -> str:
    if character in _SIGNS or character.isprintable():
        return _SIGNS.get(character, character)
    return character.encode("unicode_escape").decode()
