r"""The two sides of a batch, each distinct mention and entity once, whatever the context of the graphs."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch_geometric.data import HeteroData
from torch_geometric.typing import NodeType
from torch_geometric.utils import scatter

from drin_pyg.graph import pair_of_edge
from drin_pyg.vocabulary import EDGE_TYPES, ENTITY_IMAGE, ENTITY_TEXT, MENTION_TYPES


@dataclass(frozen=True, eq=False)
class Owners:
    r"""The distinct mentions, or entities, of a batch.

    Args:
        id: Their rows in the tables, ascending, int64 ``[B]``.
        of_pair: Which of them each pair has, int64 ``[P]``.
        pair: One pair of each, int64 ``[B]``.
    """

    id: Tensor
    of_pair: Tensor
    pair: Tensor

    @classmethod
    def of(cls, owner: Tensor) -> 'Owners':
        """From the mention or entity of each pair, int64 ``[P]``."""
        distinct, of_pair = torch.unique(owner, return_inverse=True)
        place = torch.arange(owner.numel(), device=owner.device)
        return cls(distinct, of_pair, scatter(place, of_pair, dim_size=distinct.numel(), reduce='min'))


class Sides:
    r"""Mentions and entities of a batch of :class:`~drin_pyg.graph.CandidateLoader`, and means over their vertices.

    In context ``"pair"`` a mention has vertices in every graph of a pair, in context ``"mention"`` in one graph;
    here it is one row in either case, so that models that work on these rows score alike.

    Args:
        batch: The batch.

    Attributes:
        mention: The ``B`` distinct mentions of the pairs.
        entity: The ``C`` distinct entities of the pairs.
    """

    def __init__(self, batch: HeteroData):
        self.batch = batch
        self.mention = Owners.of(batch.mention)
        self.entity = Owners.of(batch.entity)

    def mean(self, node_type: NodeType, encoder: Callable[[Tensor], Tensor] | None = None) -> tuple[Tensor, Tensor]:
        r"""Mean over the (encoded) vertices of each mention or entity.

        Args:
            node_type: Type of the vertices.
            encoder: Applied to the distinct rows of features first, ``[U, F]`` to ``[U, D]``.

        Returns:
            Means ``[B, D]`` (or ``[C, D]``), zeros where there is no vertex; and whether there is one, bool ``[B]``.
        """
        store = self.batch[node_type]
        x = store.x if encoder is None else encoder(store.x)             # [U, D]
        x = x[store.row] if 'row' in store else x                        # [N, D]
        holder, chosen, size = self._holders(node_type)
        mean = scatter(x, holder, dim_size=size, reduce='mean')[chosen]  # [B, D]
        there = torch.bincount(holder, minlength=size)[chosen] > 0       # [B]
        return mean, there

    def _holders(self, node_type: NodeType) -> tuple[Tensor, Tensor, int]:
        """What holds each vertex ``[N]`` (a graph, or a pair), the holder that stands for each owner, how many."""
        graph = self.batch[ENTITY_TEXT].batch  # of each pair, [P]
        if node_type in MENTION_TYPES:
            return self.batch[node_type].batch, graph[self.mention.pair], self.batch.num_graphs
        num_pairs = graph.numel()
        if node_type == ENTITY_IMAGE:
            return torch.repeat_interleave(self.batch[ENTITY_TEXT].num_images), self.entity.pair, num_pairs
        return torch.arange(num_pairs, device=graph.device), self.entity.pair, num_pairs

    def answer(self) -> Tensor:
        r"""Which of the distinct entities answers each mention, int64 ``[B]``; -1 where none of its candidates does."""
        answer = torch.full_like(self.mention.id, -1)
        right = self.batch.y
        answer[self.mention.of_pair[right]] = self.entity.of_pair[right]
        return answer


def first_weights(batch: HeteroData) -> Tensor:
    r"""First weight of each relation for the pairs of a batch.

    Args:
        batch: From :class:`~drin_pyg.graph.CandidateLoader`.

    Returns:
        ``[P, 4]`` in the order of the vocabulary, a mean over edges if there are several images; NaN where a
        pair has no such edge.
    """
    num_pairs, columns = batch.entity.numel(), []
    for edge_type in EDGE_TYPES:
        pair = pair_of_edge(batch, edge_type)                                                  # [E]
        mean = scatter(batch[edge_type].edge_weight, pair, dim_size=num_pairs, reduce='mean')  # [P]
        has_edge = torch.bincount(pair, minlength=num_pairs) > 0
        columns.append(mean.masked_fill(~has_edge, torch.nan))
    return torch.stack(columns, dim=-1)                                                        # [P, 4]
