r"""Figures for a paper: labelled units, and lines and bars that greyscale print tells apart."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from timing import Measured

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# From dark to light, so that they differ in greyscale too; lines also differ in marker and dashes, bars in hatching.
COLORS = ['#0b3c6f', '#c8553d', '#7a9e7e', '#c9a227', '#9aa5b1']
MARKERS, DASHES, HATCHES = 'osD^v', ['-', '--', ':', '-.', (0, (3, 1, 1, 1))], ['', '///', '...', 'xx', '++']
STYLE = {'font.size': 8, 'axes.spines.top': False, 'axes.spines.right': False, 'axes.linewidth': 0.6,
         'lines.linewidth': 1.4, 'lines.markersize': 4, 'legend.frameon': False, 'hatch.linewidth': 0.6,
         'axes.titlesize': 8, 'axes.titleweight': 'bold', 'savefig.dpi': 200}


@dataclass
class Curves:
    r"""A panel of lines over a logarithmic axis.

    Args:
        title: Its title.
        x: What lies along the horizontal axis, with its unit.
        y: What lies along the vertical axis, with its unit.
        lines: Name to points ``(x, y)``, or ``(x, y, low, high)`` with a band around them.
    """

    title: str
    x: str
    y: str
    lines: dict[str, list[tuple]] = field(default_factory=dict)

    def add(self, name: str, x: float, y: float | None, *band: float) -> None:
        r"""Adds a point, unless there is no ``y``."""
        points = self.lines.setdefault(name, [])
        if y is not None:
            points.append((x, y, *band))


def curves(path: Path, rows: list[list[Curves]]) -> None:
    r"""Draws panels of lines, as rows and columns; panels of a row share their vertical axis."""
    from matplotlib import rc_context

    with rc_context(STYLE):
        figure, grid = _panels(3.4 * len(rows[0]), 2.5 * len(rows), len(rows), len(rows[0]), sharey='row')
        for panels, row in zip(rows, grid, strict=True):
            for axes, panel in zip(row, panels, strict=True):
                _draw(axes, panel)
        names = dict.fromkeys(name for panels in rows for panel in panels for name in panel.lines)
        handles = {label: handle for row in grid for axes in row
                   for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
        figure.legend([handles[name] for name in names if name in handles], [n for n in names if n in handles],
                      loc='outside lower center', ncols=len(names))
        figure.savefig(path)


def bars(path: Path, unit: str, panels: dict[str, dict[str, Measured]]) -> None:
    r"""Draws a panel of horizontal bars for each comparison: median, quartiles as whiskers, ratio, peak memory.

    Args:
        path: Where to.
        unit: What was measured, e.g. ``"training step"``.
        panels: Title to sides to their measurement; the first side is what the others are compared with.
    """
    from matplotlib import rc_context

    with rc_context(STYLE):
        sizes = [len(sides) for sides in panels.values()]
        figure, grid = _panels(6.8, 0.32 * sum(sizes) + 0.75 * len(sizes), len(sizes), 1,
                               gridspec_kw={'height_ratios': sizes})
        for (axes, ), (title, sides) in zip(grid, panels.items(), strict=True):
            base = next(iter(sides.values())).median
            for i, side in enumerate(sides.values()):
                ms = 1e3 * side.median
                axes.barh(i, ms, 0.65, color=COLORS[i % 5], hatch=HATCHES[i % 5], edgecolor='white', linewidth=0)
                axes.errorbar(ms, i, xerr=[[ms - 1e3 * side.low], [1e3 * side.high - ms]], color='black',
                              linewidth=0.8, capsize=2)
                memory = f', {side.peak / 2**20:,.0f} MiB' if side.peak else ''
                axes.annotate(f'{_three_digits(ms)} ms ({_three_digits(side.median / base)} x){memory}',
                              (1e3 * side.high, i), (4, 0), textcoords='offset points', va='center', fontsize=7)
            axes.set_yticks(range(len(sides)), list(sides))
            axes.invert_yaxis()
            axes.margins(x=0.3)
            axes.set_xlim(left=0)
            axes.tick_params(axis='y', length=0)
            axes.set_title(title, loc='left')
        axes.set_xlabel(f'time of one {unit} (ms)')
        figure.savefig(path)


def _draw(axes: 'Axes', panel: Curves) -> None:
    for i, (name, points) in enumerate(panel.lines.items()):
        if points:
            x, y, *band = zip(*points, strict=True)
            axes.plot(x, y, color=COLORS[i % 5], marker=MARKERS[i % 5], linestyle=DASHES[i % 5], label=name,
                      markerfacecolor='white' if i % 2 else None)
            if band:
                axes.fill_between(x, *band, color=COLORS[i % 5], alpha=0.2, linewidth=0)
    if any(panel.lines.values()):
        axes.set(xscale='log', yscale='log')
    axes.grid(which='major', linewidth=0.4, color='0.85')
    axes.set(xlabel=panel.x, ylabel=panel.y)
    axes.set_title(panel.title, loc='left')


def _three_digits(value: float) -> str:
    """A positive number with three significant digits, and with all digits before its point."""
    return f'{value:,.{max(2 - math.floor(math.log10(value)), 0)}f}'


def _panels(width: float, height: float, rows: int, columns: int, **options) -> 'tuple[Figure, list[list[Axes]]]':
    """A figure of the given inches, with a grid of axes; no window is needed."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout='constrained')
    return figure, figure.subplots(rows, columns, squeeze=False, **options)
