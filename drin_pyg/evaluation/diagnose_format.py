r"""A diagnosis as tables of text."""

import math

from drin_pyg.evaluation.diagnose_records import Diagnosis


def format_diagnosis(found: Diagnosis) -> str:
    r"""Tables of what was seen, then the findings.

    Args:
        found: From :func:`~drin_pyg.evaluation.diagnose.diagnose`.
    """
    parts = [f'{found.num_mentions:,} mentions, {found.num_pairs:,} pairs, {found.num_layers} layers, context '
             f"'{found.context}'. Accuracy {found.accuracy:.2%} ± {found.accuracy_error:.2%}"]
    parts.append(_table(
        'Weights of the relations by depth (0: entering layer 1)',
        ['relation', 'depth', 'mean', 'std', 'between', 'gold', 'rest', 'AUC', '±', 'saturated'],
        [[w.relation, str(w.depth), _number(w.mean), _number(w.variance**0.5),
          _percent(w.between / w.variance if w.variance else math.nan, 0), _number(w.gold_mean), _number(w.rest_mean),
          _number(w.auc), _number(w.auc_error), _percent(w.saturated, 0)] for w in found.weights]))
    if found.updates:
        parts.append(_table(
            "Order of a mention's candidates by a weight, before and after a layer",
            ['relation', 'layer', 'Spearman', '±', 'mentions'],
            [[u.relation, str(u.layer), _number(u.correlation), _number(u.error), f'{u.num_mentions:,}']
             for u in found.updates]))
    parts.append(_table(
        'Vertices by depth (cosine of two mentions or entities, of two candidates of a mention; effective rank)',
        ['node type', 'depth', 'cosine', 'candidates', 'rank', 'n'],
        [[v.node_type, str(v.depth), _number(v.cosine), _number(v.candidate_cosine), f'{v.effective_rank:.1f}',
          f'{v.num_vertices:,}'] for v in found.vertices]))
    parts.append(_table(
        'Accuracy of the score read at each depth', ['depth', 'accuracy', '±'],
        [[str(r.depth), _percent(r.accuracy), _percent(r.error)] for r in found.readings]))
    parts.append(_table(
        "Share of the score's variance over a mention's candidates", ['relation', 'part', 'share'],
        [[s.relation, s.part, _percent(s.share, 1)] for s in found.shares]))
    parts.append(_table(
        'The trained model with something taken out', ['', 'relation', 'accuracy', 'drop', '±', 'p', 'hits changed'],
        [[a.name, a.relation or '', _percent(a.accuracy), _percent(a.drop), _percent(a.error), f'{a.p_value:.4f}',
          _percent(a.changed, 1)] for a in found.ablations]))
    parts.append('\n'.join(['Findings', *(f'  {f.verdict:<15}{f.name:<16}{f.text}' for f in found.findings)]))
    return '\n\n'.join(parts)


def _table(title: str, head: list[str], rows: list[list[str]]) -> str:
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    left = [not any(row[i][:1].isdigit() or row[i][:1] == '-' for row in rows) for i in range(len(head))]
    lines = ['  ' + '  '.join(cell.ljust(width) if first else cell.rjust(width)
                              for cell, width, first in zip(row, widths, left, strict=True)).rstrip()
             for row in [head, *rows]]
    return '\n'.join([title, *lines])


def _number(value: float) -> str:
    return '-' if math.isnan(value) else f'{value:.3f}'


def _percent(value: float, digits: int = 2) -> str:
    return '-' if math.isnan(value) else f'{value:.{digits}%}'
