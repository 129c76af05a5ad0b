"""From what was asked to the picture: sample, examples, tokens, packed prompt, table."""

from common.methods import METHODS
from common.models import find_model
from producer.mask.labels import label
from producer.mask.notes import packing_notes, sample_notes
from producer.mask.packing import pack
from producer.mask.picture import Caption, MaskPicture
from producer.mask.sample import choose_sample, choose_shown
from producer.mask.tokens import tokenize
from producer.request import RunRequest


def compose(request: RunRequest, uuid: str | None) -> MaskPicture:
    """The picture of the sample `uuid`, or of the first, by the request's first method.

    Raises UsageError or StopRun where it cannot be drawn.
    """
    method, model = METHODS[request.methods[0]], find_model(request.model)
    sample = choose_sample(request, method, uuid)
    examples, notes = choose_shown(request)
    template = request.opened_dataset.template
    pieces, text_of = tokenize(model, sample.paraphrases, template, examples)
    layout, positions = request.chosen_layout, request.chosen_positions
    packed = pack(pieces, method, layout, positions, sample.num_manual or 0)
    notes += sample_notes(request, method, sample, uuid)
    notes += packing_notes(request, method, packed, len(sample.paraphrases))
    return MaskPicture(
        Caption(request.dataset, sample.uuid, model.slug, method.name),
        packed,
        tuple(label(text_of(token)) for token in packed.prompt.tokens),
        tuple(notes),
    )
