import torch
import torch.nn.functional as F
from torch_geometric.data import HeteroData
from torch_geometric.transforms import BaseTransform
from torch_geometric.utils import to_dense_batch

from drin_pyg.graph.extend_batch import forget_graphs, vertex_rows
from drin_pyg.vocabulary import ENTITY_TEXT, SIMILAR


class LinkCandidates(BaseTransform):
    r"""Joins each candidate of a mention to those of the mention's other candidates that are most like it.

    Edges run from every text vertex of a candidate to the ``k`` nearest of the same graph by cosine of their
    features, which is the first weight; of equals, the earlier in the list. A vertex thus receives two means
    (:class:`~drin_pyg.nn.DRINConv` sends messages both ways): of those it chose, and of those that chose it.
    The score does not read the relation: its edges have no ``pair``.

    It is for mention context, where the candidates of a mention share a graph; their scores then depend on one
    another. A changed batch cannot be split into its graphs again.

    Args:
        k: Most neighbours that a candidate chooses.

    Raises:
        ValueError: If ``k`` is less than 1, or a batch has pair context.
    """

    def __init__(self, k: int = 3):
        if k < 1:
            raise ValueError(f"'k' must be at least 1, got {k}")
        self.k = k

    def forward(self, data: HeteroData) -> HeteroData:
        forget_graphs(data)
        graph, mention = data[ENTITY_TEXT].batch, data.mention
        # Only in pair context do neighbours in the batch have one mention and two graphs.
        if bool(((mention[1:] == mention[:-1]) & (graph[1:] != graph[:-1])).any()):
            raise ValueError("Candidates are linked inside a graph, but in pair context each has one of its own; load "
                             "the data with context='mention'")
        x, row = vertex_rows(data, ENTITY_TEXT)
        unit, there = to_dense_batch(F.normalize(x, dim=-1)[row], graph, batch_size=data.num_graphs)  # [B, K, F]
        size = unit.size(1)
        cosine = unit @ unit.transpose(1, 2)                                                          # [B, K, K]
        other = there.unsqueeze(1) & there.unsqueeze(2) & ~torch.eye(size, dtype=torch.bool)          # [B, K, K]
        # A stable sort, because top-k may choose among equals as it likes.
        nearest = cosine.masked_fill(~other, -torch.inf).argsort(dim=-1, descending=True, stable=True)[..., :self.k]
        chosen = other.gather(-1, nearest)                                                            # [B, K, k]
        vertex = torch.zeros(there.shape, dtype=torch.long)
        vertex[there] = torch.arange(row.numel())                                                     # [B, K]
        source = vertex.unsqueeze(-1).expand_as(nearest)
        target = vertex.unsqueeze(1).expand(-1, size, -1).gather(-1, nearest)
        store = data[SIMILAR]
        store.edge_index = torch.stack([source[chosen], target[chosen]])                              # [2, E]
        store.edge_weight = cosine.gather(-1, nearest)[chosen]                                        # [E]
        return data
