"""Numbers and names as text, for the terminal, the sentences and the page.

Accuracies in percent and differences in points, with one decimal: thousands of questions resolve
no more. Page and plots keep a number and its sign on one line; the terminal puts intervals in
brackets.
"""

from collections.abc import Mapping, Sequence

from producer.report.document import Interval

RunNames = Mapping[str, str]
"""Run keys -> the names that a report shows for them."""


def percent(share: float) -> str:
    """A share in [0, 1].

    >>> percent(2 / 3)
    '66.7 %'
    """
    return f"{100 * share:.1f} %"


def unbroken_percent(share: float) -> str:
    """A share whose number and sign stay on one line.

    >>> unbroken_percent(0.4333)
    '43.3\\xa0%'
    """
    return percent(share).replace(" ", "\N{NO-BREAK SPACE}")


def percent_interval(interval: Interval) -> str:
    """A share and its interval.

    >>> percent_interval(Interval(value=0.25, low=0.1, high=0.4))
    '25.0 % [10.0,40.0]'
    """
    return f"{percent(interval.value)} [{100 * interval.low:.1f},{100 * interval.high:.1f}]"


def interval_ends(interval: Interval) -> str:
    """
    >>> interval_ends(Interval(value=0.5, low=0.4, high=0.625))
    '40.0 to 62.5'
    """
    return f"{100 * interval.low:.1f} to {100 * interval.high:.1f}"


def points(difference: float) -> str:
    """A difference of shares in percentage points, with a true minus sign.

    >>> points(-0.0512), points(0.1)
    ('−5.1', '+10.0')
    """
    return f"{100 * difference:+.1f}".replace("-", "−")


def points_interval(interval: Interval) -> str:
    """A difference of shares and its interval, in percentage points.

    >>> points_interval(Interval(value=0.05, low=-0.0001, high=0.1))
    '+5.0 [+0.0,+10.0]'
    """
    ends = interval.value, interval.low, interval.high
    # Adding 0.0 turns the minus zero of a small negative number into zero.
    value, low, high = (f"{round(100 * end, 1) + 0.0:+.1f}" for end in ends)
    return f"{value} [{low},{high}]"


def p_value(p: float) -> str:
    """
    >>> p_value(0.0312), p_value(0.00002)
    ('0.031', '< 0.001')
    """
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def rate(per_second: float) -> str:
    """
    >>> rate(1234.5), rate(0.251)
    ('1,234.5', '0.25')
    """
    return f"{per_second:,.1f}" if per_second >= 10 else f"{per_second:.2f}"


def listed(names: Sequence[str]) -> str:
    """
    >>> listed(["a", "b", "c"]), listed(["a"])
    ('a, b and c', 'a')
    """
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def short_names(keys: Sequence[str]) -> dict[str, str]:
    """Name runs by their keys without the leading parts that all of them share.

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
