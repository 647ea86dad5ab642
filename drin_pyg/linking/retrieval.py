r"""Candidates for mentions that have none, from the whole knowledge base, and how often the answer is among them."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from drin_pyg.datasets import KnowledgeBase, Mention
from drin_pyg.features import Encoding
from drin_pyg.linking.retriever import SUM, Retriever


def retrieve(
    mentions: Sequence[Mention],
    entities: KnowledgeBase,
    k: int,
    methods: Sequence[str] = ('name', 'dense'),
    *,
    replace_lists: bool = False,
    how: Encoding | None = None,
    recall_at: Sequence[int] = (1, 10, 100),
) -> tuple[list[Mention], dict[str, dict[str, dict[int, float]]]]:
    r"""Gives mentions candidates.

    Args:
        mentions: The mentions.
        entities: The knowledge base.
        k: Candidates of a mention.
        methods: Rankings to add up.
        replace_lists: Whether mentions that have candidates get new ones too.
        how: How texts are encoded.
        recall_at: List lengths to measure recall at, besides ``k``.

    Returns:
        The mentions with candidates, best first; and method to split to list length to the share of
        answered mentions (NIL apart) whose answer is on a list of that length.

    Raises:
        ValueError: If the knowledge base is empty or there is no such method.
    """
    how = how or Encoding()
    at = sorted({*recall_at, k})
    ranked = Retriever(entities, methods, how).rank(mentions, max(at), how=how)
    lists = ranked.get(SUM, next(iter(ranked.values())))
    gold = entities.rows([mention.answer or '' for mention in mentions])
    recall: dict[str, dict[str, dict[int, float]]] = {}
    for method, rows in ranked.items():
        for split in dict.fromkeys(mention.split for mention in mentions):
            own = np.array([m.split == split and m.answer is not None for m in mentions], dtype=bool)
            if own.any():
                hit = rows[own] == gold[own, None]
                recall.setdefault(method, {})[split] = {n: float(hit[:, :n].any(1).mean()) for n in at}
    names = {row: entities[row].id for row in np.unique(lists[:, :k]).tolist()}
    found = [mention if mention.candidates and not replace_lists
             else replace(mention, candidates=tuple(names[row] for row in rows[:k].tolist()))
             for mention, rows in zip(mentions, lists, strict=True)]
    return found, recall


def format_recall(recall: dict[str, dict[str, dict[int, float]]]) -> str:
    r"""The recall that :func:`retrieve` measured, as a table in percent."""
    lengths = list(next(iter(next(iter(recall.values())).values()))) if recall else []
    lines = ['  '.join([f'{"ranking":<8}', f'{"split":<8}', *(f'recall@{n}'.rjust(11) for n in lengths)])]
    for method, splits in recall.items():
        for split, values in splits.items():
            cells = (f'{100 * share:>11.2f}' for share in values.values())
            lines.append('  '.join([f'{method:<8}', f'{split or "-":<8}', *cells]))
    return '\n'.join(lines)
