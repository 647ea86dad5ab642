r"""Candidates for mentions that have none: rankings of the whole knowledge base, and their sum."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from tqdm import tqdm

from drin_pyg.datasets import Entity, KnowledgeBase, Mention
from drin_pyg.features import Encoding, TextEncoder
from drin_pyg.features.pair_features import normalize
from drin_pyg.features.preset import entity_words

CHUNK = 256  # mentions scored against the whole knowledge base at once


class Ranking(ABC):
    r"""Scores of all entities for any of some mentions, comparable with those of other rankings (about 0 to 1)."""

    @abstractmethod
    def __call__(self, start: int, end: int) -> np.ndarray:
        """Scores of the mentions ``start:end``, float32 ``[end - start, entities]``."""


class NameRanking(Ranking):
    r"""How alike the mention's words and the entity's name are: rapidfuzz's token set ratio, without accents."""

    def __init__(self, mentions: Sequence[Mention], entities: Sequence[Entity]):
        self.surfaces = [normalize(mention.surface) for mention in mentions]
        self.names = [normalize(entity.name) for entity in entities]

    def __call__(self, start: int, end: int) -> np.ndarray:
        from rapidfuzz import fuzz, process

        scores = process.cdist(self.surfaces[start:end], self.names, scorer=fuzz.token_set_ratio, dtype=np.float32,
                               workers=-1)
        return scores / 100


class BM25Ranking(Ranking):
    r"""BM25 of the mention's words and sentence in name and description, as a share of the mention's best."""

    def __init__(self, mentions: Sequence[Mention], entities: Sequence[Entity]):
        import bm25s

        documents = [normalize(f'{entity.name} {entity.description}') for entity in entities]
        queries = [normalize(f'{mention.surface} {mention.sentence}') for mention in mentions]
        self.index = bm25s.BM25()
        self.index.index(bm25s.tokenize(documents, show_progress=False), show_progress=False)
        self.queries = bm25s.tokenize(queries, return_ids=False, show_progress=False)

    def __call__(self, start: int, end: int) -> np.ndarray:
        known = self.index.vocab_dict
        rows = [[word for word in query if word in known] for query in self.queries[start:end]]
        empty = np.zeros(self.index.scores['num_docs'], dtype=np.float32)
        scores = np.stack([self.index.get_scores(row) if row else empty for row in rows])
        return scores / np.maximum(scores.max(1, keepdims=True), 1e-9)


class DenseRanking(Ranking):
    r"""Cosine of MiniLM embeddings of the sentence and of "name. description"."""

    def __init__(self, mentions: Sequence[Mention], entities: Sequence[Entity], how: Encoding):
        encoder = TextEncoder.minilm()
        self.entity = encoder([entity_words(entity) for entity in entities], how=how)['mean']
        self.mention = encoder([mention.sentence for mention in mentions], how=how)['mean']

    def __call__(self, start: int, end: int) -> np.ndarray:
        return (self.mention[start:end] @ self.entity.t()).numpy()


METHODS = ('name', 'bm25', 'dense')


def make_ranking(method: str, mentions: Sequence[Mention], entities: Sequence[Entity], how: Encoding) -> Ranking:
    r"""A ranking by name: ``"name"``, ``"bm25"`` or ``"dense"``.

    Raises:
        ValueError: If there is no such method.
    """
    if method not in METHODS:
        raise ValueError(f"There is no retrieval method '{method}'; there are {', '.join(METHODS)}")
    if method == 'dense':
        return DenseRanking(mentions, entities, how)
    return (NameRanking if method == 'name' else BM25Ranking)(mentions, entities)


def rank_entities(
    rankings: dict[str, Ranking],
    num_mentions: int,
    k: int,
    progress: bool = False,
) -> dict[str, np.ndarray]:
    r"""The best entities of each ranking, and of the sum of all.

    Args:
        rankings: Method to ranking.
        num_mentions: How many mentions the rankings know.
        k: Entities to keep; all if there are fewer.
        progress: Whether to show a progress bar.

    Returns:
        Method to entity rows, int64 ``[num_mentions, k]``, best first; of equal ones, the first in
        the knowledge base first. If there are several methods, also ``"sum"``.
    """
    parts: dict[str, list[np.ndarray]] = {}
    for start in tqdm(range(0, num_mentions, CHUNK), 'Ranking entities', disable=not progress, leave=False):
        end = min(start + CHUNK, num_mentions)
        scores = {method: ranking(start, end) for method, ranking in rankings.items()}
        if len(scores) > 1:
            scores['sum'] = sum(scores.values())
        for method, values in scores.items():
            parts.setdefault(method, []).append(_best(values, k))
    return {method: np.concatenate(rows) for method, rows in parts.items()}


def _best(scores: np.ndarray, k: int) -> np.ndarray:
    """Columns of the ``k`` largest of each row; equal ones in the order of the columns, at the cut too."""
    k = min(k, scores.shape[1])
    cut = -np.partition(-scores, k - 1, axis=1)[:, k - 1]
    best = np.empty((len(scores), k), dtype=np.int64)
    for row, (values, least) in enumerate(zip(scores, cut, strict=True)):
        columns = np.flatnonzero(values >= least)
        best[row] = columns[np.argsort(-values[columns], kind='stable')[:k]]
    return best


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
    if not len(entities) or not methods:
        raise ValueError("There is nothing to retrieve from: the knowledge base is empty, or no method was named")
    how = how or Encoding()
    at = sorted({*recall_at, k})
    rankings = {method: make_ranking(method, mentions, entities, how) for method in dict.fromkeys(methods)}
    ranked = rank_entities(rankings, len(mentions), max(at), how.progress)
    lists = ranked['sum'] if 'sum' in ranked else next(iter(ranked.values()))
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
