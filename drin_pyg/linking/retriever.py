from collections.abc import Sequence

import numpy as np
from tqdm import tqdm

from drin_pyg.datasets import Entity, Mention
from drin_pyg.features import Encoding, SideTables
from drin_pyg.features.encode_rows import IN_MEMORY
from drin_pyg.linking.rankings import make_ranking

CHUNK = 256  # mentions scored against the whole knowledge base at once
SUM = 'sum'


class Retriever:
    r"""Finds candidates in a knowledge base, which is prepared once, for mentions that come later.

    Scores of several rankings (:mod:`~drin_pyg.linking.rankings`) are added up.

    Args:
        entities: The knowledge base, ``E`` entities.
        methods: The rankings: ``"name"``, ``"bm25"``, ``"dense"`` and, given features, ``"features"``.
        how: How the texts of the knowledge base are encoded.
        side: Features of the entities, for ``"features"``.

    Raises:
        ValueError: If the knowledge base is empty or there is no such method.
        ImportError: If a library of a method is not installed.
    """

    def __init__(
        self,
        entities: Sequence[Entity],
        methods: Sequence[str] = ('name', 'dense'),
        how: Encoding = IN_MEMORY,
        side: SideTables | None = None,
    ):
        if not len(entities) or not methods:
            raise ValueError("There is nothing to retrieve from: the knowledge base is empty, or no method was named")
        self.rankings = {method: make_ranking(method, entities, how, side) for method in dict.fromkeys(methods)}

    def __call__(self, mentions: Sequence[Mention], k: int, side: SideTables | None = None) -> np.ndarray:
        r"""The best entities of the sum of all rankings.

        Args:
            mentions: ``M`` mentions.
            k: Entities to find; all if there are fewer.
            side: Features of the mentions, for ``"features"``.

        Returns:
            Entity rows, int64 ``[M, min(k, E)]``, best first; of equal ones, the first in the knowledge
            base first.

        Raises:
            ValueError: If ``k`` is not positive, or features are needed and missing.
        """
        ranked = self.rank(mentions, k, side)
        return ranked.get(SUM, next(iter(ranked.values())))

    def rank(
        self,
        mentions: Sequence[Mention],
        k: int,
        side: SideTables | None = None,
        how: Encoding = IN_MEMORY,
    ) -> dict[str, np.ndarray]:
        r"""As :meth:`__call__`, for each ranking alone and, if there are several, for their ``"sum"``.

        Args:
            mentions: The mentions.
            k: Entities to find.
            side: Features of the mentions.
            how: How texts of the mentions are encoded.
        """
        if k < 1:
            raise ValueError(f"'k' must be at least 1, got {k}")
        queries = {method: ranking.queries(mentions, side, how) for method, ranking in self.rankings.items()}
        parts: dict[str, list[np.ndarray]] = {method: [] for method in self.rankings}
        # Of no mentions there is one chunk, which is empty.
        for start in tqdm(range(0, max(len(mentions), 1), CHUNK), 'Ranking entities', disable=not how.progress,
                          leave=False):
            scores = {method: ranking(queries[method][start:start + CHUNK])
                      for method, ranking in self.rankings.items()}
            if len(scores) > 1:
                scores[SUM] = sum(scores.values())
            for method, values in scores.items():
                parts.setdefault(method, []).append(best(values, k))
        return {method: np.concatenate(rows) for method, rows in parts.items()}


def best(scores: np.ndarray, k: int) -> np.ndarray:
    r"""Columns of the ``k`` largest of each row ``[B, k]``; equal ones in the order of the columns, at the cut too."""
    k = min(k, scores.shape[1])
    cut = -np.partition(-scores, k - 1, axis=1)[:, k - 1]
    columns_of_best = np.empty((len(scores), k), dtype=np.int64)
    for row, (values, least) in enumerate(zip(scores, cut, strict=True)):
        columns = np.flatnonzero(values >= least)
        columns_of_best[row] = columns[np.argsort(-values[columns], kind='stable')[:k]]
    return columns_of_best
