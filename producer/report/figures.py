"""Figures as text, with no more digits than they deserve.

Accuracies in per cent and differences in points, with one decimal: thousands of questions
resolve no more.
"""

from collections.abc import Sequence

from producer.report.document import Interval


def per_cent(share: float) -> str:
    """A share in [0, 1].

    >>> per_cent(2 / 3)
    '66.7 %'
    """
    return f"{100 * share:.1f} %"


def share(interval: Interval) -> str:
    """A share and its interval.

    >>> share(Interval(value=0.25, low=0.1, high=0.4))
    '25.0 % [10.0,40.0]'
    """
    return f"{per_cent(interval.value)} [{100 * interval.low:.1f},{100 * interval.high:.1f}]"


def points(interval: Interval) -> str:
    """A difference of shares and its interval, in points.

    >>> points(Interval(value=0.05, low=-0.0001, high=0.1))
    '+5.0 [+0.0,+10.0]'
    """
    value, low, high = (_signed(x) for x in (interval.value, interval.low, interval.high))
    return f"{value} [{low},{high}]"


def _signed(difference: float) -> str:
    # Adding zero: what is left of a small negative number is no minus zero.
    return f"{round(100 * difference, 1) + 0.0:+.1f}"


def p_value(p: float) -> str:
    """A p-value, as it stands in a table.

    >>> p_value(0.0312), p_value(0.00002)
    ('0.031', '< 0.001')
    """
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def short_names(keys: Sequence[str]) -> dict[str, str]:
    """Run keys without the leading parts that all of them share.

    >>> short_names(["webqa/gpt2/avg-5", "webqa/gpt2/origin"])
    {'webqa/gpt2/avg-5': 'avg-5', 'webqa/gpt2/origin': 'origin'}
    """
    prefix = shared_prefix(keys)
    return {key: key.removeprefix(prefix) for key in keys}


def shared_prefix(keys: Sequence[str]) -> str:
    """
    >>> shared_prefix(["webqa/gpt/avg-5", "webqa/gpt/origin"])
    'webqa/gpt/'
    """
    parents = [key.split("/")[:-1] for key in keys]
    shared: list[str] = []
    for parts in zip(*parents, strict=False):
        if len(set(parts)) > 1:
            break
        shared.append(parts[0] + "/")
    return "".join(shared)
