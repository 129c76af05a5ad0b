"""What a person must be told beside a picture: what was chosen for them, what it leaves out."""

from collections.abc import Iterator

from common.methods import Method
from common.records import Sample
from producer.mask.picture import MaskedPrompt
from producer.request import RunRequest

_PLAIN = {
    "first": "reads the question alone, in a plain prompt",
    "each": "gives every paraphrase a plain prompt of its own; this is the first of {}",
    "most_confident": "reads the most confident paraphrase in a plain prompt; "
    "this is the first of {}",
    "fused": "makes of one paraphrase the plain prompt",
}


def sample_notes(
    request: RunRequest, method: Method, sample: Sample, uuid: str | None
) -> Iterator[str]:
    """Sentences on the sample, without a full stop."""
    if uuid is None:
        yield "no --uuid is given: this is the first sample"
    wanted, found = method.num_read(request.chosen_num_paraphrases), len(sample.paraphrases)
    if found < wanted:
        yield f"{wanted} paraphrases are asked for, the sample has {found}"


def packing_notes(
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
