r"""The demo's report: a page to look at, the same table for notes, the same numbers for programs."""

import math
from pathlib import Path

from drin_pyg.demo.figures import ANSWER, DRIN, INK, TAIL, curve_figure, finite, separation, weights_figure
from drin_pyg.demo.page_parts import depth_label, first_picture, relation_label, sentence_parts
from drin_pyg.demo.results import Candidate, EdgeWeights, Example, Results, System
from drin_pyg.demo.table import (
    COLUMNS,
    LEVEL,
    NOTHING,
    best_system,
    by_group,
    cells,
    format_table,
    is_number,
    markdown,
    plain_results,
    reference_system,
    summary,
)
from drin_pyg.files import format_json, write_atomic

__all__ = ['format_table', 'write_report']


def write_report(results: Results, folder: Path) -> Path:
    r"""Writes ``index.html``, ``table.md`` and ``results.json``.

    The page holds its pictures and figures and needs no network. Every text of the results is
    escaped.

    Args:
        results: What the demo found; needs a system of group ``"best"`` and a baseline.
        folder: Where to write; made if it is not there.

    Returns:
        Path of ``index.html``.

    Raises:
        ValueError: If there is no best system or no baseline.
        FileNotFoundError: If a picture of an example is missing.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    folder = Path(folder)
    environment = Environment(loader=FileSystemLoader(Path(__file__).parent / 'templates'), autoescape=True,
                              undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    page = environment.get_template('report.html').render(_page(results))
    write_atomic(folder / 'index.html', page.encode())
    write_atomic(folder / 'table.md', markdown(results).encode())
    write_atomic(folder / 'results.json', format_json(plain_results(results)).encode())
    return folder / 'index.html'


def _page(results: Results) -> dict:
    """What the template shows."""
    best, reference = best_system(results), reference_system(results)
    longest = max(system.top1 + system.top1_error for system in results.systems)
    relations = list(dict.fromkeys(weights.relation for weights in results.edge_weights))
    panels = sorted(results.edge_weights, key=lambda weights: (relations.index(weights.relation), weights.depth))
    scales = _scales(results.examples)
    return {
        'summary': summary(results),
        'significant': is_number(best.p_value) and best.p_value < LEVEL,
        'results': results,
        'columns': COLUMNS,
        'reference': reference,
        'mark': 100 * reference.top1 / longest,
        'level': LEVEL,
        'groups': [(title, [_row(system, longest) for system in systems]) for title, systems in by_group(results)],
        'loss': curve_figure(results.curve, {'train_loss': INK}, 'loss'),
        'validation': curve_figure(results.curve, {'val_top1': DRIN, 'val_mrr': ANSWER}, 'validation'),
        'num_depths': len({weights.depth for weights in results.edge_weights}),
        'panels': [_weights_panel(weights) for weights in panels],
        'tail': TAIL,
        'examples': [_example(example, scales) for example in results.examples],
        'num_right': sum(example.rank == 1 for example in results.examples),
        'settings': {**results.settings, 'Time of the whole demo': _duration(results.seconds)},
    }


def _row(system: System, longest: float) -> dict:
    """A line of the page's table: its cells, and its bar in percent of the longest."""
    return {
        'cells': cells(system),
        'is_best': system.group == 'best',
        'length': 100 * system.top1 / longest,
        'error': 100 * system.top1_error / longest,
    }


def _weights_panel(weights: EdgeWeights) -> dict:
    """A relation at a depth: its histograms and what they come to."""
    chance = separation(weights)
    return {
        'relation': relation_label(weights.relation),
        'depth': depth_label(weights.depth),
        'figure': weights_figure(weights, f'{weights.relation}-{weights.depth}'),
        'separation': f'{chance:.2f}' if is_number(chance) else NOTHING,
    }


def _example(example: Example, scales: dict[tuple[str, int], tuple[float, float]]) -> dict:
    """A mention, its ranked candidates, and the answer's weights beside its strongest rival's."""
    answer = next(candidate for candidate in example.candidates if candidate.is_answer)
    rivals = [candidate for candidate in example.candidates if not candidate.is_answer]
    right = example.rank == 1
    cards = [{
        'rank': example.rank if candidate is answer else rank,
        'name': candidate.entity.name,
        'picture': first_picture(candidate.entity.pictures),
        'probability': candidate.probability,
        'kind': 'answer' if candidate.is_answer else 'winner' if candidate is rivals[0] and not right else '',
    } for rank, candidate in enumerate(example.candidates, 1)]
    return {
        'surface': example.mention.surface,
        'parts': sentence_parts(example.mention.sentence, example.mention.surface),
        'picture': first_picture(example.mention.pictures),
        'rank': example.rank,
        'right': right,
        'cards': cards,
        'answer': answer.entity.name,
        'rival': rivals[0].entity.name if rivals else None,
        'num_depths': max((len(values) for values in answer.weights.values()), default=0),
        'strips': [{
            'relation': relation_label(relation),
            'cells': [_strip(relation, depth, answer, rivals, scales) for depth in range(len(values))],
        } for relation, values in answer.weights.items()],
    }


def _strip(relation: str, depth: int, answer: Candidate, rivals: list[Candidate],
           scales: dict[tuple[str, int], tuple[float, float]]) -> dict:
    """One relation's weights at one depth on a line: the answer, its strongest rival, the rest; None if missing."""
    low, high = scales.get((relation, depth), (0.0, 1.0))
    values = [candidate.weights[relation][depth] for candidate in (answer, *rivals)]
    places = [100 * (v - low) / ((high - low) or 1) if is_number(v) else None for v in values]
    first, second = [*values, math.nan][:2]
    return {
        'depth': depth_label(depth),
        'answer': places[0],
        'rival': places[1] if rivals else None,
        'rest': [place for place in places[2:] if place is not None],
        'values': ' : '.join(f'{v:.2f}' if is_number(v) else NOTHING for v in values[:2]),
        'ahead': None if not is_number(first - second) else first > second,
    }


def _scales(examples: list[Example]) -> dict[tuple[str, int], tuple[float, float]]:
    """Smallest and largest weight shown, by relation and depth, so that the examples can be compared."""
    seen = {}
    for example in examples:
        for candidate in example.candidates:
            for relation, values in candidate.weights.items():
                for depth, value in enumerate(values):
                    seen.setdefault((relation, depth), []).append(value)
    return {key: (finite(values).min(), finite(values).max()) for key, values in seen.items() if finite(values).size}


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f'{minutes} min {rest} s' if minutes else f'{rest} s'
