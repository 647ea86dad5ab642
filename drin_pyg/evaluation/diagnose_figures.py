r"""Figures of a diagnosis for a paper: vector files and a picture of each."""

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING

from drin_pyg.evaluation.diagnose_records import Diagnosis
from drin_pyg.files import open_atomic, write_atomic
from drin_pyg.vocabulary import NODE_TYPES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = ('pdf', 'svg', 'png')
GOLD, REST, INK, FAINT, RULE = '#0072b2', '#9a9a9a', '#222222', '#666666', '#d9d9d9'
# Okabe and Ito's colours, which readers who confuse red and green can tell apart; with markers, print can as well.
COLORS = ['#0072b2', '#d55e00', '#009e73', '#cc79a7']
MARKERS = ['o', 's', '^', 'D']
WIDTH = 7.0  # inches, the text width of a two-column page
LEGEND = {'loc': 'outside lower center', 'frameon': False, 'fontsize': 8}


def write_diagnosis(found: Diagnosis, folder: str | Path) -> list[Path]:
    r"""Writes ``diagnosis.json`` and each figure as PDF, SVG and PNG.

    Args:
        found: From :func:`~drin_pyg.evaluation.diagnose.diagnose`.
        folder: Where to (made if need be); files of an earlier diagnosis are replaced.

    Returns:
        The files.
    """
    import matplotlib

    folder = Path(folder)
    paths = [folder / 'diagnosis.json']
    write_atomic(paths[0], json.dumps(found.to_dict(), indent=2, allow_nan=False).encode() + b'\n')
    figures = {'weights': weights_figure, 'variance': variance_figure, 'smoothing': smoothing_figure,
               'ablations': ablations_figure}
    # Text stays text; the salt and the dates left out give the same file for the same diagnosis.
    with matplotlib.rc_context({'svg.fonttype': 'none', 'pdf.fonttype': 42, 'svg.hashsalt': 'diagnosis'}):
        for name, draw in figures.items():
            figure = draw(found)
            for kind in FORMATS:
                path = folder / f'{name}.{kind}'
                dates = {'pdf': {'CreationDate': None}, 'svg': {'Date': None}, 'png': {}}[kind]
                with open_atomic(path) as file:
                    figure.savefig(file, format=kind, dpi=200, metadata=dates)
                paths.append(path)
    return paths


def weights_figure(found: Diagnosis) -> 'Figure':
    r"""Distribution of each relation's weights, gold against the rest, a column per relation and a row per depth."""
    relations = list(dict.fromkeys(w.relation for w in found.weights))
    depths = sorted({w.depth for w in found.weights})
    if not relations:
        return _no_weights()
    figure, grid = _figure(len(depths), len(relations), 1.35 * len(depths) + 0.7)
    there = {(w.relation, w.depth): w for w in found.weights}
    for row, depth in enumerate(depths):
        for column, relation in enumerate(relations):
            axes = grid[row][column]
            axes.set_yticks([])
            axes.spines['left'].set_visible(False)
            if row == 0:
                axes.set_title(_label(relation), fontsize=9, color=INK)
            if column == 0:
                axes.set_ylabel(_depth(depth), fontsize=8, color=INK)
            if (relation, depth) not in there:
                axes.set_xticks([])
                axes.spines['bottom'].set_visible(False)
                axes.text(0.5, 0.5, 'not computed', transform=axes.transAxes, ha='center', fontsize=7, color=FAINT)
                continue
            weight = there[relation, depth]
            for counts, color, alpha, name in ((weight.rest_counts, REST, 0.5, 'other candidates'),
                                               (weight.gold_counts, GOLD, 0.25, 'gold')):
                share = [count / max(sum(counts), 1) for count in counts]
                axes.stairs(share, weight.bins, fill=True, color=color, alpha=alpha, linewidth=0, label=name)
                axes.stairs(share, weight.bins, color=color, linewidth=1.2)
            axes.set_ylim(bottom=0, top=axes.get_ylim()[1] * 1.3)  # room for the text
            axes.locator_params(axis='x', nbins=4)
            axes.text(0.98, 0.97, _auc(weight.auc, weight.auc_mentions), transform=axes.transAxes, ha='right',
                      va='top', fontsize=7, color=FAINT)
    # One entry of each name: every panel has the same two.
    handles = dict(zip(*reversed(next(axes for axes in figure.axes if axes.has_data()).get_legend_handles_labels()),
                       strict=True))
    figure.supxlabel('edge weight', fontsize=8, color=INK)
    figure.legend(handles.values(), handles.keys(), ncols=2, **LEGEND | {'loc': 'outside upper right'})
    return figure


def variance_figure(found: Diagnosis) -> 'Figure':
    r"""Variance of each relation's weights by depth, between mentions and within a mention over its candidates."""
    relations = list(dict.fromkeys(w.relation for w in found.weights))
    if not relations:
        return _no_weights()
    figure, grid = _figure(1, len(relations), 2.3)
    for column, (relation, axes) in enumerate(zip(relations, grid[0], strict=True)):
        weights = [w for w in found.weights if w.relation == relation]
        places = range(len(weights))
        within, between = [w.within for w in weights], [w.between for w in weights]
        axes.bar(places, within, 0.62, color=COLORS[0], label='within a mention, over its candidates')
        axes.bar(places, between, 0.62, bottom=within, color=COLORS[1], alpha=0.75, label='between mentions')
        top = max(a + b for a, b in zip(within, between, strict=True)) or 1.0
        for place, a, b in zip(places, within, between, strict=True):
            axes.text(place, a + b + 0.03 * top, f'{a + b:.2g}', ha='center', fontsize=7, color=INK)
        axes.set_ylim(0, 1.2 * top)
        axes.set_xticks(places, [str(w.depth) for w in weights])
        axes.set_xlim(-0.7, len(weights) - 0.3)
        axes.set_title(_label(relation), fontsize=9, color=INK)
        axes.locator_params(axis='y', nbins=4)
        axes.grid(axis='y', color=RULE, linewidth=0.6)
        if column == 0:
            axes.set_ylabel('variance of the weights', fontsize=8, color=INK)
    figure.supxlabel(f'depth (0: entering layer 1); n = {found.num_pairs:,} pairs of {found.num_mentions:,} mentions',
                     fontsize=8, color=INK)
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, ncols=2, **LEGEND | {'loc': 'outside upper right'})
    return figure


def smoothing_figure(found: Diagnosis) -> 'Figure':
    r"""How alike vertices are by depth, their effective rank, and the accuracy of the score read there."""
    figure, grid = _figure(1, 4, 2.5)
    node_types = list(dict.fromkeys(v.node_type for v in found.vertices))
    panels = [('cosine', 'cosine of two mentions\nor entities'),
              ('candidate_cosine', 'cosine of two candidates\nof a mention'), ('effective_rank', 'effective rank')]
    for axes, (key, label) in zip(grid[0], panels, strict=False):
        for i, node_type in enumerate(node_types):
            line = [(v.depth, getattr(v, key)) for v in found.vertices if v.node_type == node_type]
            if not all(math.isnan(value) for _, value in line):
                axes.plot(*zip(*line, strict=True), color=COLORS[i], marker=MARKERS[i], markersize=4, linewidth=1.4,
                          alpha=0.85, label=_label(node_type))
        if key == 'effective_rank':
            axes.set_ylim(0, 1.1 * max((v.effective_rank for v in found.vertices), default=1.0))
        else:
            axes.set_ylim(min(-0.05, axes.get_ylim()[0]), 1.02)
        axes.set_ylabel(label, fontsize=8, color=INK)
    axes = grid[0][3]
    axes.errorbar([r.depth for r in found.readings], [100 * r.accuracy for r in found.readings],
                  [100 * r.error for r in found.readings], color=INK, marker='o', markersize=4, linewidth=1.4,
                  capsize=3)
    axes.set_ylabel('accuracy of the score\nread at the depth, %', fontsize=8, color=INK)
    for axes in grid[0]:
        axes.grid(axis='y', color=RULE, linewidth=0.6)
        axes.set_xticks(range(found.num_layers + 1))
        axes.set_xlim(-0.25, found.num_layers + 0.25)
    figure.supxlabel(f'depth (0: output of the encoders); n = {found.num_mentions:,} mentions, bars: standard errors',
                     fontsize=8, color=INK)
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, ncols=4, **LEGEND | {'loc': 'outside upper center'})
    return figure


def ablations_figure(found: Diagnosis) -> 'Figure':
    r"""Share of the score's variance by term, and what accuracy loses when something is taken out."""
    figure, grid = _figure(1, 2, max(2.6, 0.19 * len(found.ablations) + 0.8), [1, 1.5])
    shares, drops = grid[0]
    for axes, names, values, errors, color in (
            (shares, [f'{_label(s.relation)}, {s.part}' for s in found.shares], [s.share for s in found.shares], None,
             COLORS[2]),
            (drops, [a.name + (f': {_label(a.relation)}' if a.relation else '') for a in found.ablations],
             [a.drop for a in found.ablations], [100 * a.error for a in found.ablations], COLORS[0])):
        places = range(len(names))
        axes.barh(places, [100 * value for value in values], 0.68, xerr=errors, color=color, ecolor=INK,
                  error_kw={'linewidth': 0.9, 'capsize': 2})
        axes.set_yticks(places, names, fontsize=7.5)
        axes.invert_yaxis()
        axes.axvline(0, color=INK, linewidth=0.8)
        axes.grid(axis='x', color=RULE, linewidth=0.6)
        axes.spines['left'].set_visible(False)
    shares.set_xlabel("share of the score's variance over\na mention's candidates, %", fontsize=8, color=INK)
    drops.set_xlabel(f'accuracy lost, points (n = {found.num_mentions:,} mentions,\nbars: standard errors; whole '
                     f'model {found.accuracy:.1%})', fontsize=8, color=INK)
    return figure


def _no_weights() -> 'Figure':
    """What takes the place of a figure of an earlier diagnosis where no pair has an edge."""
    figure, grid = _figure(1, 1, 1.0)
    grid[0][0].set_axis_off()
    grid[0][0].text(0.5, 0.5, 'No relation has an edge.', ha='center', fontsize=9, color=FAINT)
    return figure


def _figure(rows: int, columns: int, height: float, ratios: list[float] | None = None
            ) -> 'tuple[Figure, list[list[Axes]]]':
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height), layout='constrained')
    grid = figure.subplots(rows, columns, squeeze=False, width_ratios=ratios)
    for axes in figure.axes:
        axes.spines[['top', 'right']].set_visible(False)
        axes.spines[['left', 'bottom']].set_color(RULE)
        axes.set_axisbelow(True)
        axes.tick_params(length=0, labelsize=7.5, labelcolor=FAINT)
    return figure, grid


def _label(name: str) -> str:
    return name.replace('_', ' ' if name in NODE_TYPES else '-')


def _depth(depth: int) -> str:
    return 'entering layer 1' if depth == 0 else f'leaving layer {depth}'


def _auc(auc: float, num_mentions: int) -> str:
    return 'no gold to compare' if math.isnan(auc) else f'AUC {auc:.2f}, n = {num_mentions:,}'
