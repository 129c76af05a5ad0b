"""The vote of `majority`: the answer that most paraphrases give.

One rule for the worker, which votes while it answers, and for reports, which vote again over
stored answers. Knows texts and numbers only.
"""

from collections.abc import Sequence
from statistics import fmean

from common.equality import answer_key


def majority(answers: Sequence[str], mean_logprobs: Sequence[float]) -> int:
    """Index of the answer that stands for the largest group of equal answers.

    Answers are equal when their `answer_key` is. mean_logprobs: of each answer, its
    log-probability per token. Of groups equally large the one whose members have the higher mean
    of them wins, and its member with the highest stands for it; what is equal even then is
    decided by order. Answers of punctuation alone, or of nothing, vote where there is no other.

    Raises ValueError for no answers, or for other than one log-probability each.

        >>> majority(["Nile", "the Amazon", "nile!"], [-0.9, -0.1, -0.5])
        2
        >>> majority(["Nile", "the Amazon"], [-0.9, -0.1])
        1
        >>> majority(["", "", "Nile"], [-0.1, -0.1, -2.0])
        2
        >>> majority(["A", "A", "A", "B"], [-0.1, -0.1, -0.1, -2.0])
        0
    """
    groups: dict[str, list[float]] = {}
    keys = [answer_key(answer) for answer in answers]
    for key, logprob in zip(keys, mean_logprobs, strict=True):
        groups.setdefault(key, []).append(logprob)
    voters = [i for i, key in enumerate(keys) if key] or range(len(keys))

    def standing(i: int) -> tuple[int, float, float]:
        members = groups[keys[i]]
        return len(members), fmean(members), mean_logprobs[i]

    return max(voters, key=standing)
