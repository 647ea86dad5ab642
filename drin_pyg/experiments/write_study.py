r"""The files of a study: table for programs, table for people, figure."""

import re
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from drin_pyg.experiments.table import Line, StudyTable
from drin_pyg.files import write_atomic

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# From dark to light, so that they differ in greyscale too; lines also differ in marker.
COLORS, MARKERS = ['#0b3c6f', '#c8553d', '#5d8a66', '#c9a227', '#7b8794', '#6a4c93'], 'osD^vP'
STYLE = {'font.size': 8, 'axes.spines.top': False, 'axes.spines.right': False, 'axes.linewidth': 0.6,
         'legend.frameon': False, 'savefig.dpi': 200, 'axes.titlesize': 8, 'axes.titlelocation': 'left'}
SHARE = re.compile(r'(\d+)% swapped')
CHANGED = ', '  # a variant's name is a system's, this, and what was changed


def write_study(table: StudyTable, out: Path) -> None:
    r"""Writes ``NAME.csv``, ``NAME.md``, ``NAME.png`` and ``NAME.svg``.

    Args:
        table: The study's results.
        out: The folder.
    """
    name = table.study.name
    text = f'## {name}\n\n{table.study.question}\n\n{table.markdown()}\n'
    write_atomic(out / f'{name}.csv', table.csv().encode())
    write_atomic(out / f'{name}.md', text.encode())
    import matplotlib

    with matplotlib.rc_context({**STYLE, 'svg.hashsalt': name}):
        figure = curves(table) if any(len(v.test_swapped) > 1 for v in table.study.variants) else bars(table)
        for kind, metadata in (('png', {}), ('svg', {'Date': None})):
            file = BytesIO()
            figure.savefig(file, format=kind, metadata=metadata, bbox_inches='tight')
            write_atomic(out / f'{name}.{kind}', file.getvalue())


def bars(table: StudyTable) -> 'Figure':
    r"""Top-1 of every line with its standard error over mentions, the base as a rule."""
    from matplotlib.figure import Figure

    lines = table.lines
    conditions = list(dict.fromkeys(line.condition for line in lines))
    names = [line.variant.name if len(conditions) == 1 else f'{line.variant.name} ({line.condition})' for line in lines]
    figure = Figure(figsize=(6.4, 0.6 + 0.22 * len(lines)))
    axes = figure.add_subplot()
    base = next(line for line in lines if line.variant.name == table.study.base)
    axes.axvline(100 * base.top1, color='#7b8794', linewidth=0.8, linestyle=':', zorder=0)
    for y, line in enumerate(lines):
        color = COLORS[conditions.index(line.condition) % len(COLORS)]
        axes.errorbar(100 * line.top1, y, xerr=100 * line.error, fmt='o', color=color, markersize=4, elinewidth=1,
                      markerfacecolor=color if line is base else 'white')
        axes.annotate(f'{100 * line.top1:.1f}', (1.01, y), xycoords=('axes fraction', 'data'), va='center',
                      annotation_clip=False, color='#52606d')
    axes.set_yticks(range(len(lines)), names)
    axes.invert_yaxis()
    axes.tick_params(length=0)
    axes.grid(axis='x', color='#e4e7eb', linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel(f'top-1 accuracy on test mentions, % (± standard error over {base.hit.shape[1]:,} mentions, '
                    f'{base.hit.shape[0]} seed{"s" * (base.hit.shape[0] > 1)})')
    axes.set_title(table.study.question)
    return figure


def curves(table: StudyTable) -> 'Figure':
    r"""Top-1 against the share of test mentions with another's image: a panel for each training, a line for each
    system."""
    from matplotlib.figure import Figure

    panels: dict[str, dict[str, list[tuple[float, Line]]]] = {}
    for line in table.lines:
        if line.variant.name == table.study.base:
            continue  # one of the systems, under another name
        system, _, training = line.variant.name.rpartition(CHANGED)
        share = SHARE.search(line.condition)
        panels.setdefault(training, {}).setdefault(system, []).append((float(share[1]) if share else 0.0, line))
    figure = Figure(figsize=(3.3 * len(panels), 2.8), layout='constrained')
    grid = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    systems = list(dict.fromkeys(system for panel in panels.values() for system in panel))
    for axes, (training, panel) in zip(grid, panels.items(), strict=True):
        for system, points in panel.items():
            i = systems.index(system)
            points = sorted(points, key=lambda point: point[0])
            axes.errorbar([x for x, _ in points], [100 * line.top1 for _, line in points],
                          [100 * line.error for _, line in points], color=COLORS[i % len(COLORS)], label=system,
                          marker=MARKERS[i % len(MARKERS)], markersize=4, linewidth=1.2, elinewidth=0.8)
        axes.set_title(training)
        axes.set_xlabel("test mentions with another's image, %")
        axes.grid(color='#e4e7eb', linewidth=0.6)
    grid[0].set_ylabel('top-1 accuracy, %')
    grid[0].legend(loc='lower left')
    return figure
