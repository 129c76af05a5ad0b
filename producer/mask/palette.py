"""The colour of each group in pictures: by Okabe and Ito (2008), apart for the colour-blind."""

PREFIX = "#56b4e9"
TAIL = "#cc79a7"
HIDDEN = "#e6e6e6"
"""Earlier, and still not seen: what the table takes from a causal mask."""

_PARAPHRASES = ("#0072b2", "#e69f00", "#009e73", "#d55e00")


def group_colours(num_groups: int) -> list[str]:
    """A colour for each group, prefix and tail included; those of paraphrases come again.

    >>> group_colours(4)
    ['#56b4e9', '#0072b2', '#e69f00', '#cc79a7']
    """
    paraphrases = [_PARAPHRASES[i % len(_PARAPHRASES)] for i in range(num_groups - 2)]
    return [PREFIX, *paraphrases, TAIL]
