r"""Whether vertices get alike from layer to layer (over-smoothing)."""

import math
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.data import HeteroData
from torch_geometric.typing import NodeType
from torch_geometric.utils import scatter

from drin_pyg.features import Candidates
from drin_pyg.vocabulary import ENTITY_IMAGE, ENTITY_TEXT, ENTITY_TYPES, MENTION_TYPES, NODE_TYPES


@dataclass(frozen=True)
class VertexStatistics:
    r"""How alike the vertices of a type are at one depth.

    Args:
        node_type: The node type.
        depth: 0 for the encoders' output, ``l`` for what leaves layer ``l``.
        num_vertices: Vertices looked at, each of another mention (or entity), ``N``.
        cosine: Mean cosine of two of them.
        candidate_cosine: Mean cosine of two candidates of a mention, mean over mentions; NaN on the
            mention side and without such mentions.
        effective_rank: Exponential of the entropy of their normalised singular values
            (`"The Effective Rank" <https://ieeexplore.ieee.org/document/7098875>`_, EUSIPCO 2007):
            about how many directions the vertices fill, at most ``min(N, D)``.
    """

    node_type: NodeType
    depth: int
    num_vertices: int
    cosine: float
    candidate_cosine: float
    effective_rank: float


def mean_cosine(x: Tensor) -> float:
    r"""Mean cosine of two different rows of ``x`` ``[N, D]``, over all such pairs; NaN of fewer than two rows.

    The sum of all cosines is the squared length of the sum of the unit rows, so no pair is formed.
    """
    num_rows = x.size(0)
    if num_rows < 2:
        return math.nan
    unit = F.normalize(x.double(), dim=-1)
    total = unit.sum(0).square().sum() - unit.square().sum()  # a row of zeros has the cosine 0 with itself, too
    return float(total / (num_rows * (num_rows - 1)))


def effective_rank(x: Tensor) -> float:
    r"""Effective rank of ``x`` ``[N, D]``; NaN of no rows or of zeros."""
    if x.numel() == 0 or not bool(x.any()):
        return math.nan
    value = torch.linalg.svdvals(x.double())
    share = value / value.sum()
    return float(torch.special.entr(share).sum().exp())


@dataclass
class VertexSample:
    r"""Gathers what :class:`VertexStatistics` need, batch by batch.

    Args:
        lists: Candidate lists of the mentions that will come, in their order.
        most: Most vertices of a type to keep.
        seed: Which ones.
    """

    lists: Candidates
    most: int = 1000
    seed: int = 0
    _rows: dict[tuple[NodeType, int], list[Tensor]] = field(default_factory=dict)
    _alike: dict[tuple[NodeType, int], list[Tensor]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        generator = torch.Generator().manual_seed(self.seed)
        entity, num_pairs = self.lists.entity, self.lists.num_pairs
        distinct, code = torch.unique(entity, return_inverse=True)
        first = scatter(torch.arange(num_pairs), code, dim_size=distinct.numel(), reduce='min')
        starts = {ENTITY_TEXT: first, MENTION_TYPES[0]: self.lists.ptr[:-1][self.lists.counts > 0]}
        self._chosen = {}  # side to the pairs, bool [P], that stand for their entity or mention
        for node_type, pairs in starts.items():
            kept = pairs[torch.randperm(pairs.numel(), generator=generator)[:self.most]]
            self._chosen[node_type] = torch.zeros(num_pairs, dtype=torch.bool).index_fill_(0, kept, True)

    def add(self, depth: int, batch: HeteroData, first_pair: int, x_dict: dict[NodeType, Tensor]) -> None:
        r"""Takes in the vertices of a batch.

        Args:
            depth: Their depth.
            batch: The graphs.
            first_pair: Where the batch's pairs begin among all.
            x_dict: One row per vertex.
        """
        for node_type, x in x_dict.items():
            pair = pair_of_vertex(batch, node_type).to(x.device)                           # [N]
            side = MENTION_TYPES[0] if node_type in MENTION_TYPES else ENTITY_TEXT
            # Of several images of one owner, the first.
            new = torch.ones_like(pair, dtype=torch.bool)
            new[1:] = pair[1:] != pair[:-1]
            keep = new & (pair >= 0)
            keep[keep.clone()] = self._chosen[side][first_pair + pair[keep].cpu()].to(x.device)
            self._rows.setdefault((node_type, depth), []).append(x[keep].detach().float().cpu())
            if node_type in ENTITY_TYPES:
                alike = _cosine_of_candidates(x.detach(), batch.mention.to(x.device)[pair])
                self._alike.setdefault((node_type, depth), []).append(alike.cpu())

    def statistics(self) -> list[VertexStatistics]:
        r"""What was found, by node type and depth; a type without vertices is left out."""
        result = []
        for node_type in NODE_TYPES:
            for (kind, depth), parts in sorted(self._rows.items()):
                x = torch.cat(parts)
                if kind == node_type and x.size(0):
                    alike = torch.cat(self._alike.get((kind, depth), [torch.empty(0)]))
                    result.append(VertexStatistics(
                        kind, depth, x.size(0), mean_cosine(x), float(alike.mean()) if alike.numel() else math.nan,
                        effective_rank(x)))
        return result


def pair_of_vertex(batch: HeteroData, node_type: NodeType) -> Tensor:
    r"""The pair (position in the batch) that each vertex of a type belongs to, int64 ``[N]``.

    A mention's vertex that all its candidates share belongs to the first of them; -1 if it has none.
    """
    graph_of_pair = batch[ENTITY_TEXT].batch                                               # [P]
    if node_type == ENTITY_TEXT:
        return torch.arange(graph_of_pair.numel(), device=graph_of_pair.device)
    if node_type == ENTITY_IMAGE:
        return torch.repeat_interleave(batch[ENTITY_TEXT].num_images)
    counts = torch.bincount(graph_of_pair, minlength=batch.num_graphs)                     # [G]
    first = torch.where(counts > 0, counts.cumsum(0) - counts, -1)
    return first[batch[node_type].batch]


def _cosine_of_candidates(x: Tensor, mention: Tensor) -> Tensor:
    """Mean cosine of two vertices of the same mention, float64 ``[M']``, of mentions with two at least."""
    if x.size(0) == 0:
        return torch.empty(0, dtype=torch.double)
    distinct, place = torch.unique(mention, return_inverse=True)
    count = torch.bincount(place, minlength=distinct.numel()).double()                     # [M]
    unit = F.normalize(x.double(), dim=-1)
    total = scatter(unit, place, dim_size=distinct.numel()).square().sum(-1)               # [M]
    total = total - scatter(unit.square().sum(-1), place, dim_size=distinct.numel())
    return (total / (count * (count - 1)))[count > 1]
