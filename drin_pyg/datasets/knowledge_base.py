from abc import abstractmethod
from collections.abc import Iterable, Sequence
from functools import cached_property

import numpy as np

from drin_pyg.datasets.records import Entity


class KnowledgeBase(Sequence[Entity]):
    r"""The entities of a data set, by row; ids are unique."""

    @abstractmethod
    def rows(self, ids: Sequence[str]) -> np.ndarray:
        """Rows of the entities with the given ids, int64 ``[len(ids)]``; -1 for an id that is not there."""

    @property
    @abstractmethod
    def num_duplicates(self) -> int:
        """How many entities were left out, because their id was there before."""


class EntityList(KnowledgeBase):
    r"""A knowledge base in memory.

    Args:
        entities: The entities; of those with one id, the first counts and keeps its place.
    """

    def __init__(self, entities: Iterable[Entity]):
        first: dict[str, Entity] = {}
        self._num_duplicates = 0
        for entity in entities:
            self._num_duplicates += first.setdefault(entity.id, entity) is not entity
        self._entities = list(first.values())

    def __len__(self) -> int:
        return len(self._entities)

    def __getitem__(self, row):
        return self._entities[row]

    @cached_property
    def _row(self) -> dict[str, int]:
        return {entity.id: row for row, entity in enumerate(self._entities)}

    def rows(self, ids: Sequence[str]) -> np.ndarray:
        return np.fromiter((self._row.get(name, -1) for name in ids), np.int64, len(ids))

    @property
    def num_duplicates(self) -> int:
        return self._num_duplicates
