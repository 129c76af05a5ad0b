"""The plots of a page: accuracy, accuracy against the number of paraphrases, rates.

Figures are made as objects, never through pyplot. Colour-blind readers can tell this blue from
this orange (after Okabe and Ito 2008), and both stand out on a light and on a dark background.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from producer.report.document import Document, Interval, ParaphraseReport, RunReport
from producer.report.formatting import RunNames, interval_ends, rate, unbroken_percent
from producer.report.page.svg import INK, inline_svg

BLUE, ORANGE = "#2f86c5", "#d55e00"
WIDTH_INCHES = 5.0
LONGEST_NAME = 46


@dataclass(frozen=True)
class Plot:
    """A plot for the page: its caption and its SVG element."""

    caption: str
    svg: str


def all_plots(document: Document, names: RunNames) -> dict[str, list[Plot]]:
    """The plots of each section of the page: "runs" and "paraphrases"."""
    with _style():
        runs = [_accuracy_plot(document.runs, names)]
        if any(run.questions_per_second is not None for run in document.runs):
            runs.append(_rates_plot(document.runs, names))
        paraphrases = [
            _count_plot(report, f"count{number}", names[report.run])
            for number, report in enumerate(document.paraphrases)
            if report.by_count
        ]
    return {"runs": runs, "paraphrases": paraphrases}


@contextmanager
def _style() -> Iterator[None]:
    """Use the page's style inside the context, whatever the user's matplotlibrc says."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rc("font", size=11)
        matplotlib.rc("text", color=INK, parse_math=False)
        matplotlib.rc("axes", edgecolor=INK, labelcolor=INK, linewidth=0.6, axisbelow=True)
        matplotlib.rc("axes.spines", top=False, right=False)
        matplotlib.rc("xtick", color=INK)
        matplotlib.rc("ytick", color=INK)
        matplotlib.rc("legend", frameon=False)
        yield


def _accuracy_plot(runs: Sequence[RunReport], names: RunNames) -> Plot:
    figure, axes = _rows_figure([names[run.run] for run in runs])
    for row, run in enumerate(runs):
        shown = run.accuracy
        axes.plot([shown.low, shown.high], [row, row], color=BLUE, linewidth=2)
        axes.plot([shown.value], [row], "o", color=BLUE, markersize=7)
        _value_label(axes, row, unbroken_percent(shown.value))
    axes.margins(x=0.08)
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    words = "; ".join(f"{names[run.run]} {_in_words(run.accuracy)}" for run in runs)
    caption = "Accuracy with its 95 % interval"
    return Plot(caption, inline_svg(figure, "accuracy", f"{caption}: {words}"))


def _rates_plot(runs: Sequence[RunReport], names: RunNames) -> Plot:
    figure, axes = _rows_figure([names[run.run] for run in runs])
    rates = {run.run: _rate_in_words(run.questions_per_second) for run in runs}
    for row, run in enumerate(runs):
        axes.barh(row, run.questions_per_second or 0, height=0.24, color=BLUE)
        _value_label(axes, row, rates[run.run])
    axes.set_xlim(left=0)
    words = "; ".join(f"{names[run.run]} {rates[run.run]}" for run in runs)
    caption = "Questions answered per second"
    return Plot(caption, inline_svg(figure, "rates", f"{caption}: {words}"))


def _count_plot(report: ParaphraseReport, plot_name: str, run_name: str) -> Plot:
    figure = Figure(figsize=(WIDTH_INCHES, 3.4), layout="constrained")
    axes = figure.add_subplot()
    counts = [point.paraphrases for point in report.by_count]
    singles = [point.mean_single for point in report.by_count]
    _band(axes, counts, [point.oracle for point in report.by_count], ORANGE, "s-", "oracle")
    _band(axes, counts, [point.majority for point in report.by_count], BLUE, "o-", "majority")
    axes.plot(counts, singles, "--", color=INK, linewidth=1.4, label="mean single")
    axes.set_xlabel("paraphrases")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    axes.yaxis.grid(True, color=INK, alpha=0.12, linewidth=0.6)
    figure.legend(loc="outside upper left", ncols=3, handlelength=1.6, columnspacing=1.2)
    words = "; ".join(
        f"{point.paraphrases}: mean single {unbroken_percent(point.mean_single)}, "
        f"majority {_in_words(point.majority)}, oracle {_in_words(point.oracle)}"
        for point in report.by_count
    )
    caption = f"{run_name}: accuracy against the number of paraphrases"
    return Plot(caption, inline_svg(figure, plot_name, f"{caption}: {words}"))


def _band(
    axes: Axes, counts: list[int], shown: list[Interval], color: str, marks: str, label: str
) -> None:
    axes.fill_between(
        counts, [i.low for i in shown], [i.high for i in shown],
        color=color, alpha=0.18, linewidth=0,
    )  # fmt: skip
    values = [i.value for i in shown]
    axes.plot(counts, values, marks, color=color, linewidth=1.8, markersize=5, label=label)


def _rows_figure(names: Sequence[str]) -> tuple[Figure, Axes]:
    """A figure with one row per run, the name above the mark, to save width on a phone."""
    figure = Figure(figsize=(WIDTH_INCHES, 0.45 + 0.5 * len(names)), layout="constrained")
    axes = figure.add_subplot()
    axes.set_ylim(len(names) - 0.6, -0.75)
    axes.yaxis.set_visible(False)
    axes.spines["left"].set_visible(False)
    axes.xaxis.grid(True, color=INK, alpha=0.12, linewidth=0.6)
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    for row, name in enumerate(names):
        _label(axes, 0, row, _shortened(name), "left")
    return figure, axes


def _value_label(axes: Axes, row: int, text: str) -> None:
    _label(axes, 1, row, text, "right")


def _label(axes: Axes, x: float, row: int, text: str, side: str) -> None:
    place: Callable[..., object] = axes.text
    across = axes.get_yaxis_transform()
    place(x, row - 0.24, text, transform=across, ha=side, va="bottom", in_layout=False)


def _shortened(name: str) -> str:
    """The name, without its middle if it is longer than the plot is wide.

    >>> _shortened("flex_attention-5")
    'flex_attention-5'
    >>> len(_shortened(60 * "x"))
    46
    """
    if len(name) <= LONGEST_NAME:
        return name
    half = LONGEST_NAME // 2
    return f"{name[: half - 1]}…{name[-half:]}"


def _in_words(interval: Interval) -> str:
    return f"{unbroken_percent(interval.value)} ({interval_ends(interval)})"


def _rate_in_words(per_second: float | None) -> str:
    """
    >>> _rate_in_words(1234.5), _rate_in_words(0.251), _rate_in_words(None)
    ('1,234.5/s', '0.25/s', 'not measured')
    """
    return "not measured" if per_second is None else f"{rate(per_second)}/s"
