r"""The report's figures, as SVG to put into a page: they take the page's fonts and colours, light or dark."""

import re
from io import StringIO
from typing import TYPE_CHECKING

import numpy as np

from drin_pyg.demo.results import EdgeWeights

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# matplotlib knows no CSS variables, so it draws with stand-ins that are replaced in its output.
INK, FAINT, RULE, DRIN, ANSWER, OTHER = '#010101', '#010102', '#010103', '#010104', '#010105', '#010106'
VARIABLES = {INK: 'ink', FAINT: 'faint', RULE: 'rule', DRIN: 'drin', ANSWER: 'answer', OTHER: 'other'}

TAIL = 0.5  # percent of the weights on either side that a histogram gathers in its outermost bins


def curve_figure(curve: list[dict[str, float]], keys: dict[str, str], name: str) -> str:
    r"""Lines over epochs.

    Args:
        curve: A record per epoch.
        keys: Names of the values to draw, to their colours.
        name: Tells this figure from the others of the page.

    Returns:
        The SVG element; a value that is NaN leaves a gap.
    """
    from matplotlib.ticker import MaxNLocator

    figure, axes = _panel(480, 210)
    epochs = [record['epoch'] for record in curve]
    for key, color in keys.items():
        axes.plot(epochs, [record[key] for record in curve], color=color, linewidth=1.8, marker='o', markersize=3.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10]))
    axes.grid(axis='y', color=RULE, linewidth=0.8)
    axes.spines['left'].set_visible(False)
    axes.set_xlabel('epoch')
    return _svg(figure, name)


def weights_figure(weights: EdgeWeights, name: str, bins: int = 40) -> str:
    r"""Histograms of one relation's weight at one depth: answers over other candidates, in the same bins.

    Returns:
        The SVG element; empty if neither kind has a weight.
    """
    answer, other = finite(weights.answer), finite(weights.other)
    drawn = [(values, *style) for values, *style in ((other, OTHER, 0.0, 0.45), (answer, ANSWER, 1.6, 0.16))
             if values.size]
    if not drawn:
        return ''
    # Of each kind by itself: there are so few answers that all of them could lie in the tail of both.
    tails = np.stack([np.percentile(values, [TAIL, 100 - TAIL]) for values, *_ in drawn])
    low, high = tails[:, 0].min(), tails[:, 1].max()
    edges = np.histogram_bin_edges(np.array([low, high]), bins)
    figure, axes = _panel(480, 124)
    for values, color, line, opacity in drawn:
        share = np.histogram(values.clip(low, high), edges)[0] / values.size
        axes.stairs(share, edges, fill=True, color=color, alpha=opacity, linewidth=0)
        axes.stairs(share, edges, color=color, linewidth=line)
    axes.set_yticks([])
    axes.set_ylim(bottom=0)
    axes.margins(x=0.01)
    axes.locator_params(axis='x', nbins=5, steps=[1, 2, 5, 10])
    axes.spines['left'].set_visible(False)
    return _svg(figure, name)


def separation(weights: EdgeWeights) -> float:
    r"""Chance that the weight of a right pair exceeds that of a wrong one (ties count half); NaN without either."""
    answer, other = finite(weights.answer), np.sort(finite(weights.other))
    if answer.size == 0 or other.size == 0:
        return float('nan')
    below = np.searchsorted(other, answer, 'left') + np.searchsorted(other, answer, 'right')
    return float(below.mean() / 2 / other.size)


def finite(values: np.ndarray) -> np.ndarray:
    r"""The finite ones of the values, as float64."""
    values = np.asarray(values, dtype=np.float64).ravel()
    return values[np.isfinite(values)]


def _panel(width: int, height: int) -> 'tuple[Figure, Axes]':
    """An empty figure of the given pixels, with one bare pair of axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width / 72, height / 72), layout='constrained')
    figure.patch.set_visible(False)
    axes = figure.add_subplot()
    axes.patch.set_visible(False)
    axes.spines[['top', 'right']].set_visible(False)
    axes.spines[['left', 'bottom']].set_color(RULE)
    axes.xaxis.label.set_color(FAINT)
    axes.tick_params(length=0, pad=4, labelcolor=FAINT)
    return figure, axes


def _svg(figure: 'Figure', name: str) -> str:
    """The figure as an SVG element that scales with the page."""
    import matplotlib

    file = StringIO()
    # Text stays text, so that the page's font applies; the salt keeps ids of two figures apart, and the same each run.
    with matplotlib.rc_context({'svg.fonttype': 'none', 'svg.hashsalt': name}):
        figure.savefig(file, format='svg', metadata={'Date': None, 'Creator': None, 'Format': None, 'Type': None})
    svg = file.getvalue()
    svg = svg[svg.index('<svg'):].strip()
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r'\1', svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r'\1 aria-hidden="true"', svg, count=1)
    svg = re.sub(r'<g id="[^"]*"', '<g', svg)  # every figure has the same group names
    for color, variable in VARIABLES.items():
        svg = svg.replace(color, f'var(--{variable})')
    return svg
