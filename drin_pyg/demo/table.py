r"""The demo's table, its headline, and their forms: text for a terminal, markdown, plain numbers."""

import math

from drin_pyg.demo.results import Results, System

GROUPS = {
    'baseline': 'Baselines',
    'published': 'DRIN as published',
    'best': 'DRIN at its best',
    'ablation': 'Ablations of the best',
}
COLUMNS = ['System', 'Seeds', 'Top-1 ± error', 'Seed std', 'MRR', 'Val top-1', 'p', 'Seconds']
SHORT_COLUMNS = ['System', 'Seeds', 'Top-1 ± SE', 'Std', 'MRR', 'Val', 'p', 'Sec']  # the same for a terminal
TABLE_WIDTH = 100  # columns of a terminal
NOTHING = '\N{EN DASH}'  # where the table has no number
LEVEL = 0.05  # a difference with a p-value above this is not called one


def format_table(results: Results) -> str:
    r"""The table as aligned plain text of at most 100 columns; longer names are cut."""
    sections = [(title, [cells(system) for system in systems]) for title, systems in by_group(results)]
    rows = [SHORT_COLUMNS, *(row for _, section in sections for row in section)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(SHORT_COLUMNS))]
    widths[0] = min(widths[0], TABLE_WIDTH - 2 - sum(2 + width for width in widths[1:]))

    def line(row: list[str], indent: str) -> str:
        name = row[0] if len(row[0]) <= widths[0] else row[0][:widths[0] - 1] + '…'
        numbers = (f'  {cell:>{width}}' for cell, width in zip(row[1:], widths[1:], strict=True))
        return f'{indent}{name:<{widths[0] + 2 - len(indent)}}{"".join(numbers)}'

    lines = [line(SHORT_COLUMNS, ''), '-' * (2 + widths[0] + sum(2 + width for width in widths[1:]))]
    for title, section in sections:
        lines += [title, *(line(row, '  ') for row in section)]
    return '\n'.join(lines)


def summary(results: Results) -> str:
    r"""The result in one sentence; a difference that is not significant is called that.

    Raises:
        ValueError: If there is no best system or no baseline.
    """
    best, reference = best_system(results), reference_system(results)
    difference = 100 * (best.top1 - reference.top1)
    paired = best.hit.mean(0) - reference.hit.mean(0)
    error = 100 * float(paired.std()) / len(paired)**0.5
    seeds = f'mean of {best.num_seeds} seeds' if best.num_seeds > 1 else 'one seed'
    first = (f'“{best.name}” ranks the right entity first for {_points(best)} of {results.num_mentions:,} test '
             f'mentions ({seeds})')
    against = f'“{reference.name}” ({_percent(reference.top1)} %)'
    if 'fusion' in reference.name.lower():
        against = f'the better late fusion, {against}'
    if not is_number(best.p_value):
        return f'{first}, {difference:+.1f} ± {error:.1f} points against {against}; the difference was not tested.'
    p = f'p {_p(best.p_value)}' if best.p_value < 0.001 else f'p = {_p(best.p_value)}'
    if best.p_value >= LEVEL:
        return (f'{first}; the difference of {difference:+.1f} ± {error:.1f} points against {against}, is not '
                f'significant at the {LEVEL} level ({p}).')
    direction = 'more' if difference > 0 else 'less'
    return f'{first}, {abs(difference):.1f} ± {error:.1f} points {direction} than {against}; {p}.'


def best_system(results: Results) -> System:
    r"""The system of the headline."""
    for system in results.systems:
        if system.group == 'best':
            return system
    raise ValueError("The results hold no system of group 'best'")


def reference_system(results: Results) -> System:
    r"""The better late fusion, which the p-values are against."""
    baselines = [system for system in results.systems if system.group == 'baseline']
    if not baselines:
        raise ValueError("The results hold no system of group 'baseline'")
    fusions = [system for system in baselines if 'fusion' in system.name.lower()]
    return max(fusions or baselines, key=lambda system: system.top1)


def by_group(results: Results) -> list[tuple[str, list[System]]]:
    r"""The systems by group, with the groups' titles."""
    members = {group: [] for group in GROUPS}
    for system in results.systems:
        members.setdefault(system.group, []).append(system)
    return [(GROUPS.get(group, group), systems) for group, systems in members.items() if systems]


def numbers(system: System) -> dict:
    r"""A line of the table as plain numbers; None where there is none."""
    return {
        'name': system.name,
        'group': system.group,
        'seeds': system.num_seeds,
        'top1': system.top1,
        'top1_error': system.top1_error,
        'top1_seed_std': system.top1_seed_std if system.num_seeds > 1 else None,
        'mrr': system.mrr,
        'val_top1': float(system.val_top1) if is_number(system.val_top1) else None,
        'p_value': float(system.p_value) if is_number(system.p_value) else None,
        'seconds': float(system.seconds),
    }


def plain_results(results: Results) -> dict:
    r"""The table and what it was made with as plain values, for JSON.

    Raises:
        ValueError: If there is no best system or no baseline.
    """
    return {
        'best': best_system(results).name,
        'reference': reference_system(results).name,
        'num_mentions': results.num_mentions,
        'num_entities': results.num_entities,
        'systems': [numbers(system) for system in results.systems],
        'settings': results.settings,
        'seconds': results.seconds,
    }


def cells(system: System) -> list[str]:
    r"""A line of the table as text, by ``COLUMNS``."""
    return [
        system.name,
        str(system.num_seeds),
        f'{_percent(system.top1)} ± {_percent(system.top1_error)}',
        _percent(system.top1_seed_std) if system.num_seeds > 1 else NOTHING,
        f'{system.mrr:.3f}',
        _percent(system.val_top1),
        _p(system.p_value),
        f'{system.seconds:,.0f}' if system.seconds else NOTHING,
    ]


def markdown(results: Results) -> str:
    r"""The table for a README."""
    lines = [COLUMNS, ['---', *['---:'] * (len(COLUMNS) - 1)]]
    for title, systems in by_group(results):
        lines += [[f'**{title}**', *[''] * (len(COLUMNS) - 1)], *(cells(system) for system in systems)]
    rows = ['| ' + ' | '.join(cell.replace('|', '\\|') for cell in line) + ' |' for line in lines]
    return '\n'.join([summary(results), '', *rows, ''])


def is_number(value: float | None) -> bool:
    r"""Whether there is a value, and it is neither NaN nor infinite."""
    return value is not None and math.isfinite(value)


def _percent(fraction: float) -> str:
    return f'{100 * fraction:.1f}' if is_number(fraction) else NOTHING


def _points(system: System) -> str:
    return f'{_percent(system.top1)} ± {_percent(system.top1_error)} %'


def _p(value: float | None) -> str:
    if not is_number(value):
        return NOTHING
    return '< 0.001' if value < 0.001 else f'{value:.3f}'
