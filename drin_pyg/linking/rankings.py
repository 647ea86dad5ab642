r"""Rankings of a whole knowledge base, each prepared once and asked for many mentions."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.utils import scatter

from drin_pyg.datasets import Entity, Mention
from drin_pyg.features import Encoding, SideTables, TextEncoder
from drin_pyg.features.encode_rows import IN_MEMORY
from drin_pyg.features.pair_features import normalize
from drin_pyg.features.preset import entity_words
from drin_pyg.vocabulary import EDGE_TYPES, ENTITY_IMAGE, MENTION_IMAGE

ROWS = 65536  # entity rows multiplied at once


class Ranking(ABC):
    r"""Scores of all ``E`` entities of a knowledge base for any mention, comparable with those of other rankings
    (about 0 to 1)."""

    @abstractmethod
    def queries(self, mentions: Sequence[Mention], side: SideTables | None, how: Encoding) -> Sequence | Tensor:
        r"""What the ranking compares of ``B`` mentions; can be sliced.

        Args:
            mentions: The mentions.
            side: Their features, for a ranking that reads them.
            how: How texts are encoded.
        """

    @abstractmethod
    def __call__(self, queries: Any) -> np.ndarray:
        """Scores of (a slice of) the queries, float32 ``[B, E]``."""


class NameRanking(Ranking):
    r"""How alike the mention's words and the entity's name are: rapidfuzz's token set ratio, without accents."""

    def __init__(self, entities: Sequence[Entity]):
        self._process, self._fuzz = _library('rapidfuzz.process'), _library('rapidfuzz.fuzz')
        self.names = [normalize(entity.name) for entity in entities]

    def queries(self, mentions: Sequence[Mention], side: SideTables | None, how: Encoding) -> list[str]:
        return [normalize(mention.surface) for mention in mentions]

    def __call__(self, queries: list[str]) -> np.ndarray:
        return self._process.cdist(queries, self.names, scorer=self._fuzz.token_set_ratio, dtype=np.float32,
                                   workers=-1) / 100


class BM25Ranking(Ranking):
    r"""BM25 of the mention's words and sentence in name and description, as a share of the mention's best."""

    def __init__(self, entities: Sequence[Entity]):
        _library('rapidfuzz')  # behind `normalize`
        self._bm25s = _library('bm25s')
        documents = self._words([f'{entity.name} {entity.description}' for entity in entities])
        self.num_entities = len(documents)
        self.index = None  # of a knowledge base without a word there is none
        if any(documents):
            self.index = self._bm25s.BM25()
            self.index.index(documents, show_progress=False)

    def _words(self, texts: list[str]) -> list[list[str]]:
        return self._bm25s.tokenize([normalize(text) for text in texts], return_ids=False, show_progress=False) \
            if texts else []

    def queries(self, mentions: Sequence[Mention], side: SideTables | None, how: Encoding) -> list[list[str]]:
        return self._words([f'{mention.surface} {mention.sentence}' for mention in mentions])

    def __call__(self, queries: list[list[str]]) -> np.ndarray:
        scores = np.zeros((len(queries), self.num_entities), dtype=np.float32)
        for row, query in enumerate(queries):
            known = [word for word in query if self.index is not None and word in self.index.vocab_dict]
            if known:
                scores[row] = self.index.get_scores(known)
        return scores / np.maximum(scores.max(1, keepdims=True), 1e-9)


class DenseRanking(Ranking):
    r"""Cosine of MiniLM embeddings of the sentence and of "name. description"."""

    def __init__(self, entities: Sequence[Entity], how: Encoding):
        self.encoder = TextEncoder.minilm()
        self.entity = self.encoder([entity_words(entity) for entity in entities], how=how)['mean']  # [E, 384]

    def queries(self, mentions: Sequence[Mention], side: SideTables | None, how: Encoding) -> Tensor:
        return self.encoder([mention.sentence for mention in mentions], how=how)['mean']            # [B, 384]

    def __call__(self, queries: Tensor) -> np.ndarray:
        return (queries @ self.entity.t()).numpy()


class FeatureRanking(Ranking):
    r"""Mean of the relations' first weights, which see pictures too; a relation without an edge counts 0.

    First weights are inner products, so the mean over the edges of several images is the product
    of mean rows. Nothing is prepared: the entities' tables are read as they are, mapped or not.

    Args:
        entities: Features of the entities.
    """

    def __init__(self, entities: SideTables):
        self.entities = entities

    def queries(self, mentions: Sequence[Mention], side: SideTables | None, how: Encoding) -> Tensor:
        if side is None:
            raise ValueError("The ranking 'features' compares features of mentions, but was given none")
        return torch.cat([_mean_rows(side.weight[t], side.ptr, len(mentions)) if t[0] == MENTION_IMAGE
                          else side.weight[t] for t in EDGE_TYPES], dim=1)  # [B, sum of D]

    def __call__(self, queries: Tensor) -> np.ndarray:
        num_entities = self.entities.text.size(0)
        total = torch.zeros(queries.size(0), num_entities)
        tables = [self.entities.weight[edge_type] for edge_type in EDGE_TYPES]
        for edge_type, table, query in zip(EDGE_TYPES, tables, queries.split([t.size(1) for t in tables], dim=1),
                                           strict=True):
            for start in range(0, num_entities, ROWS):
                end = min(start + ROWS, num_entities)
                if edge_type[2] == ENTITY_IMAGE:
                    ptr = self.entities.ptr[start:end + 1]
                    rows = _mean_rows(table[int(ptr[0]):int(ptr[-1])], ptr - ptr[0], end - start)
                else:
                    rows = table[start:end]
                total[:, start:end] += query.float() @ rows.float().t()
        return (total / len(EDGE_TYPES)).numpy()


def _mean_rows(table: Tensor, ptr: Tensor, num_owners: int) -> Tensor:
    """Mean of each owner's rows, ``[num_owners, D]``; zeros for one without any."""
    if table.size(0) == num_owners and bool((ptr.diff() == 1).all()):
        return table
    return scatter(table, torch.repeat_interleave(ptr.diff()), dim=0, dim_size=num_owners, reduce='mean')


METHODS = ('name', 'bm25', 'dense')
FEATURES = 'features'


def make_ranking(
    method: str,
    entities: Sequence[Entity],
    how: Encoding = IN_MEMORY,
    side: SideTables | None = None,
) -> Ranking:
    r"""A ranking by name: ``"name"``, ``"bm25"``, ``"dense"``, or ``"features"`` if the entities have some.

    Args:
        method: The name.
        entities: The knowledge base.
        how: How its texts are encoded.
        side: Features of the entities.

    Raises:
        ValueError: If there is no such method.
        ImportError: If a library of it is not installed.
    """
    if method == FEATURES and side is not None:
        return FeatureRanking(side)
    if method not in METHODS:
        known = ', '.join(METHODS) + ('' if side is None else f', {FEATURES}')
        raise ValueError(f"There is no retrieval method '{method}'; there are {known}")
    if method == 'dense':
        return DenseRanking(entities, how)
    return (NameRanking if method == 'name' else BM25Ranking)(entities)


def _library(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise ImportError(f"Retrieval by words needs '{name.split('.')[0]}'; install drin_pyg[retrieval]") from error
