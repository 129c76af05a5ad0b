"""The packed prompt of a method and the table over it: what the engine is given, as data."""

from dataclasses import dataclass

from common.layout import PackedPrompt, PromptTokens, pack_fused, pack_plain
from common.methods import Method
from common.run import Layout, Positions
from common.visibility import VISIBILITIES, Table, length_bias


@dataclass(frozen=True, eq=False)
class Packed:
    """A prompt of groups 0..N+1 and who of them sees whom.

    table: bool [N + 2, N + 2]. layout and positions are None for a plain prompt. bias: what the
    tail adds to its scores with the keys of each group, where the method corrects for length.
    """

    prompt: PackedPrompt
    table: Table
    layout: Layout | None
    positions: Positions | None
    bias: tuple[float, ...] | None

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the groups. With `shared` the tail is the answer cue as a piece of its own."""
        paraphrases = (f"paraphrase {n}" for n in range(self.prompt.num_segments))
        return ("prefix", *paraphrases, "answer cue" if self.layout == "shared" else "tail")


def pack(
    pieces: PromptTokens, method: Method, layout: Layout, positions: Positions, num_manual: int = 0
) -> Packed:
    """The prompt of the method's fused sequence, or the plain one of its first sequence.

    num_manual: how many of the paraphrases, the first ones, were written by hand.

        >>> from common.methods import METHODS
        >>> pieces = PromptTokens((), (1,), ((2,), (3,)), (9,), ((1, 2, 9), (1, 3, 9)))
        >>> packed = pack(pieces, METHODS["flex_attention"], "shared", "aligned")
        >>> packed.prompt.tokens, packed.names
        ((1, 2, 3, 9), ('prefix', 'paraphrase 0', 'paraphrase 1', 'answer cue'))
        >>> pack(pieces, METHODS["avg"], "shared", "aligned").prompt.tokens
        (1, 2, 9)
    """
    fused = method.has_layout and len(pieces.prompts) > 1
    prompt = pack_fused(pieces, layout, positions) if fused else pack_plain(pieces, 0)
    n = prompt.num_segments
    table = VISIBILITIES[method.visibility](n, min(num_manual, n))
    if not fused:
        return Packed(prompt, table, None, None, None)
    lengths = [len(group) for group in prompt.groups]
    bias = tuple(length_bias(lengths).tolist()) if method.length_corrected else None
    return Packed(prompt, table, layout, positions, bias)
