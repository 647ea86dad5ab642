r"""An explanation of a mention as a table of text."""

from collections.abc import Sequence

from drin_pyg.evaluation.explain import CandidateExplanation

UNITS = {'captum': "Integrated Gradients, in units of the score",
         'gnn': "GNNExplainer, mean openness of the masks, 0..1"}


def format_explanation(found: Sequence[CandidateExplanation], names: Sequence[str], algorithm: str) -> str:
    r"""A column per candidate, a row per part; the first two are also subtracted.

    Args:
        found: From :func:`~drin_pyg.evaluation.explain.explain_mention`.
        names: What the candidates are called.
        algorithm: The algorithm that made the importances.
    """
    letters = [chr(ord('A') + i % 26) for i in range(len(found))]
    lines = [f'{letter}: {name}, score {item.score:.3f}{", the answer" if item.is_gold else ""}'
             for letter, name, item in zip(letters, names, found, strict=True)]
    head = [*letters, *(['A - B'] if len(found) > 1 else [])]
    lines += ['', f'{"Terms of the score (exact)":<40}' + ''.join(f'{cell:>10}' for cell in head)]
    for relation, parts in found[0].terms.items():
        lines += [_row(f'{relation}, {part}', [item.terms[relation][part] for item in found]) for part in parts]
    lines += ['', f'Importance of inputs ({UNITS[algorithm]})']
    # A candidate without pictures lacks some of them.
    for key, kind in (('edges', 'edge'), ('other_edges', "other candidates' edges"), ('vertices', 'features'),
                      ('other_vertices', "other candidates' features")):
        for name in dict.fromkeys(name for item in found for name in getattr(item, key)):
            lines.append(_row(f'{name}, {kind}', [getattr(item, key).get(name, 0.0) for item in found]))
    if algorithm == 'captum':
        lines.append(_row('score of the empty graph', [item.base for item in found]))
        lines.append(_row('left over (error of the integral)', [item.left_over for item in found]))
    return '\n'.join(lines)


def _row(name: str, values: list[float]) -> str:
    values = [*values, *([values[0] - values[1]] if len(values) > 1 else [])]
    return f'  {name:<38}' + ''.join(f'{value:>10.3f}' for value in values)
