"""The methods, as rows of one table: which sequences decode, and how they become an answer.

A method is two choices, so the engine has one prefill and one decode loop and no code per
method. To add a method that combines known choices, add a row.

    >>> METHODS["avg"].sequences, METHODS["avg"].fusion
    ('each', 'mean_logits')
"""

from dataclasses import dataclass
from typing import Literal

from common.errors import UsageError

DecodedSequences = Literal["first", "each", "most_confident", "fused"]
Visibility = Literal["isolated", "cross_manual", "causal"]
Fusion = Literal["own", "mean_logits", "max_probability", "weighted_mean", "vote"]


@dataclass(frozen=True)
class Method:
    """One way to turn a sample's paraphrases into an answer.

    sequences: "first" decodes paraphrase 0 alone; "each" decodes every paraphrase in a sequence
        of its own; "most_confident" decodes the paraphrase of the highest confidence alone;
        "fused" decodes one sequence that sees all paraphrases.
    fusion: how the sequences' logits give the next token. "own" decodes each sequence by itself;
        "vote" does so, too, and then takes the answer that most sequences give.
    visibility: which paraphrases of a fused sequence see each other; a key of VISIBILITIES.
    length_corrected: whether paraphrases of a fused sequence weigh alike, whatever their length.
    draws: whether texts are drawn at random: "no", "also" (beside the greedy one) or "only".
    """

    name: str
    sequences: DecodedSequences
    fusion: Fusion
    summary: str
    visibility: Visibility = "isolated"
    length_corrected: bool = False
    draws: Literal["no", "also", "only"] = "no"

    @property
    def has_layout(self) -> bool:
        """Whether paraphrases are packed into one prompt, so layout and positions matter."""
        return self.sequences == "fused"

    @property
    def row_per_paraphrase(self) -> bool:
        """Whether a sample gives one row for each paraphrase instead of one row."""
        return self.sequences == "each" and self.fusion == "own"

    @property
    def reads_confidences(self) -> bool:
        """Whether the method needs the confidence of each paraphrase, from an earlier run."""
        return self.sequences == "most_confident" or self.fusion == "weighted_mean"

    def num_read(self, num_paraphrases: int) -> int:
        """Return how many paraphrases of a sample this method reads."""
        return 1 if self.sequences == "first" else num_paraphrases


def _table(*rows: Method) -> dict[str, Method]:
    return {row.name: row for row in rows}


METHODS: dict[str, Method] = _table(
    Method("origin", "first", "own", "the question as it stands"),
    Method("per_prompt", "each", "own", "every paraphrase answered by itself"),
    Method("majority", "each", "vote", "the answer most paraphrases give"),
    Method("avg", "each", "mean_logits", "mean of the paraphrases' logits at every token"),
    Method("max", "each", "max_probability", "the most probable token over the paraphrases"),
    Method("weighted_avg", "each", "weighted_mean", "mean of logits, weighted by confidence"),
    Method("weighted_max", "most_confident", "own", "the paraphrase of the highest confidence"),
    Method("flex_attention", "fused", "own", "one sequence that attends to all paraphrases"),
    Method(
        "flex_attention_cross_manual", "fused", "own",
        "flex_attention whose manual paraphrases see each other", visibility="cross_manual",
    ),
    Method(
        "flex_attention_causal", "fused", "own",
        "flex_attention without isolation: the ablation", visibility="causal",
    ),
    Method(
        "flex_attention_length_corrected", "fused", "own",
        "flex_attention in which long paraphrases weigh no more than short ones",
        length_corrected=True,
    ),
)  # fmt: skip

PARAPHRASES = Method(
    "paraphrases", "first", "own", "paraphrases written by the model", draws="only"
)
CONFIDENCE = Method(
    "confidence", "each", "own", "how often a paraphrase's answer comes again", draws="also"
)

STEPS = _table(PARAPHRASES, CONFIDENCE)
"""Methods of preparatory runs. They use the same queue, but give no answers to compare."""


def get_method(name: str) -> Method:
    """Return the row named `name`, steps included. Raises UsageError for an unknown name."""
    method = METHODS.get(name) or STEPS.get(name)
    if method is None:
        raise UsageError(f"method {name!r} is not known; known are {', '.join(METHODS)}")
    return method
