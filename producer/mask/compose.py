"""From what was asked to the picture: sample, examples, tokens, packed prompt, table."""

from common.methods import METHODS
from common.models import find_model
from common.run import DEFAULT_POSITIONS
from producer.mask.labels import label
from producer.mask.notes import picture_notes
from producer.mask.packing import pack
from producer.mask.picture import Caption, MaskPicture
from producer.mask.request import DEFAULT_LAYOUT, MaskRequest
from producer.mask.sample import choose_sample, choose_shown
from producer.mask.tokens import tokenize
from producer.sources import open_source


def compose(request: MaskRequest) -> MaskPicture:
    """The picture of one sample; raises UsageError or StopRun where it cannot be drawn."""
    source, method = open_source(request.dataset, request.data), METHODS[request.method]
    model = find_model(request.model)
    sample = choose_sample(source, request, method)
    examples, notes = choose_shown(source, request)
    pieces, text_of = tokenize(model, sample.paraphrases, source.template, examples)
    layout = request.layout or DEFAULT_LAYOUT
    positions = request.positions or DEFAULT_POSITIONS[layout]
    packed = pack(pieces, method, layout, positions, sample.num_manual or 0)
    notes += picture_notes(request, method, packed, len(sample.paraphrases))
    return MaskPicture(
        Caption(request.dataset, sample.uuid, model.slug, method.name),
        packed,
        tuple(label(text_of(token)) for token in packed.prompt.tokens),
        tuple(notes),
    )
