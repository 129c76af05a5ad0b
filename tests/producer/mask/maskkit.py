"""Pictures for tests: random tokens of odd lengths, packed by any method."""

import random

from common.layout import PromptTokens
from common.methods import METHODS
from producer.mask.picture import Caption, MaskedPrompt, MaskPicture, pack

BOS = 1


def make_pieces(lengths: tuple[int, ...], bos: bool = False, prefix: int = 7) -> PromptTokens:
    """Tokens whose paraphrases have these lengths; every prompt is prefix, segment and cue."""
    draw = random.Random(sum(lengths))

    def ids(length: int) -> tuple[int, ...]:
        return tuple(draw.randrange(2, 300) for _ in range(length))

    first = (BOS,) if bos else ()
    head, cue = ids(prefix), ids(2)
    segments = tuple(ids(length) for length in lengths)
    return PromptTokens(first, first + head, segments, cue)


def make_picture(
    packed: MaskedPrompt, labels: tuple[str, ...] = (), method: str = "m"
) -> MaskPicture:
    labels = labels or tuple(f"t{token}" for token in packed.prompt.tokens)
    return MaskPicture(Caption("quiz", "u-1", "tiny", method), packed, labels, ("a note",))


def shared_picture(lengths: tuple[int, ...] = (5, 3)) -> MaskPicture:
    """A `shared` prompt of 7 prefix tokens, the paraphrases, and a cue of 2."""
    return make_picture(pack(make_pieces(lengths), METHODS["flex_attention"], "shared", "aligned"))
