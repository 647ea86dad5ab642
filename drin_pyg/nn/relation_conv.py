# No `__all__` here, and every name used in a signature is imported: PyG renders `propagate` and
# `edge_updater` from a template that star-imports this module, and falls back silently to a
# slower path without them (tests/nn/test_relation_conv.py guards it).
import torch
from torch import Tensor
from torch_geometric.nn.conv import MessagePassing
from torch_geometric.typing import Adj, OptPairTensor, OptTensor, Size
from torch_geometric.utils import scatter

from drin_pyg.nn.sparse import sddmm, spmm


def mean_weight(row: Tensor, edge_weight: Tensor, num_rows: int) -> Tensor:
    r"""Weights whose weighted sum over the edges of a receiving row ``row`` ``[E]`` is the weighted mean, ``[E]``."""
    # Counted in integers: in bfloat16 a count stops at 256.
    degree = scatter(torch.ones_like(row), row, dim_size=num_rows)  # [N]
    return edge_weight / degree[row]


class RelationConv(MessagePassing):
    r"""Message passing over ONE relation whose edges carry weights that may change.

    The vertex rule is the edge-weighted mean over a vertex's neighbours in this relation

    .. math::
        \mathbf{x}^{\prime}_i = \frac{1}{|\mathcal{N}(i)|}
        \sum_{j \in \mathcal{N}(i)} e_{j,i} \, \mathbf{x}_j ,

    and the edge rule, reached through :meth:`edge_updater`, is

    .. math::
        e^{\prime}_{j,i} = \sigma(e_{j,i} + \langle \mathbf{q}_j, \mathbf{k}_i \rangle + c_j)
        \quad\text{(scalar edges),}\qquad
        \mathbf{e}^{\prime}_{j,i} = \sigma(\mathbf{e}_{j,i} + \mathbf{q}_j + \mathbf{k}_i)
        \quad\text{(vector edges).}

    These are DRIN's Equations for one relation (`arXiv:2310.05589
    <https://arxiv.org/abs/2310.05589>`_, Section 3.4) with the learnable maps taken out:
    :class:`~drin_pyg.nn.EdgeRule` gives :math:`\mathbf{q}, \mathbf{k}, c`, and
    :class:`~drin_pyg.nn.DRINConv` holds the Linear that all relations may share. The conv itself
    has no parameters and returns one tensor, so it fits
    :class:`~torch_geometric.nn.HeteroConv`, :func:`~torch_geometric.nn.to_hetero`, the explainers
    and :func:`torch.compile`.

    The other direction of a relation is ``flow="target_to_source"``, or the same conv called with
    ``edge_index.flip([0])`` and the two ends of ``x`` swapped.

    Scalar-weighted messages are not materialised (one SpMM, :func:`drin_pyg.nn.sparse.spmm`).
    While explaining, with vector edges, or with ``conv.fuse = False``, PyG's ordinary
    ``message`` / ``aggregate`` path gives the same result.

    Args:
        aggr: ``"mean"`` as in DRIN, or ``"sum"``.
        **kwargs: Further arguments of :class:`~torch_geometric.nn.conv.MessagePassing`,
            such as ``flow``.

    Shapes:
        - **input:** ``x``: ``[N, F]``, or ``([N_src, F], [N_dst, F] or None)`` if bipartite;
          ``edge_index``: ``[2, E]`` tensor or :class:`~torch_geometric.EdgeIndex`;
          ``edge_weight``: ``[E]``, ``[E, F]`` (vector edges) or None (all ones)
        - **output:** ``[N_dst, F]``; vertices without an edge receive zeros

    Example:
        >>> conv = RelationConv()
        >>> x = (torch.tensor([[1.0], [2.0], [4.0]]), torch.zeros(2, 1))
        >>> edge_index = torch.tensor([[0, 1, 2], [0, 0, 1]])
        >>> conv(x, edge_index, torch.tensor([1.0, 0.5, 0.25])).tolist()  # (1 * 1 + 0.5 * 2) / 2, 0.25 * 4
        [[1.0], [1.0]]
    """

    # edge_updater_type: (edge_weight: Tensor, query: Tensor, key: Tensor, offset: OptTensor)

    def __init__(self, aggr: str = 'mean', **kwargs):
        if aggr not in ('mean', 'sum'):
            raise ValueError(f"'aggr' must be 'mean' or 'sum', got {aggr!r}")
        super().__init__(aggr=aggr, **kwargs)

    def forward(
        self,
        x: Tensor | OptPairTensor,
        edge_index: Adj,
        edge_weight: OptTensor = None,
        size: Size = None,
    ) -> Tensor:
        r"""Runs the vertex rule.

        Args:
            x: Vertex features, one tensor or a (source, destination) pair.
            edge_index: The edges, source row first.
            edge_weight: Edge weights.
            size: ``(N_src, N_dst)``; needed when the receiving end of ``x`` is None.
        """
        if not isinstance(edge_index, Tensor) or edge_index.layout != torch.strided:
            raise ValueError(f"'{type(self).__name__}' takes 'edge_index' as a [2, E] tensor or EdgeIndex, "
                             f"not a sparse matrix; convert it with 'torch_geometric.utils.to_edge_index'")
        if isinstance(x, Tensor):
            x = (x, x)
        if size is None:
            size = (None if x[0] is None else x[0].size(0), None if x[1] is None else x[1].size(0))
        sending, receiving = (0, 1) if self.flow == 'source_to_target' else (1, 0)
        if size[receiving] is None:
            raise ValueError("The receiving end of 'x' is None, so its number of vertices must be given: 'size' is "
                             "(number of sources, number of destinations)")
        x = x[sending]  # [N_sending, F]; of a pair, PyG would send the first end whatever the flow
        if edge_weight is None:
            edge_weight = x.new_ones(edge_index.size(1))

        if self.fuse and not self.explain and edge_weight.dim() == 1:
            return self.message_and_aggregate(edge_index, x, edge_weight, size)
        # propagate_type: (x: Tensor, edge_weight: Tensor)
        return self.propagate(edge_index, x=x, edge_weight=edge_weight, size=size)

    def message(self, x_j: Tensor, edge_weight: Tensor) -> Tensor:
        return x_j * (edge_weight if edge_weight.dim() == 2 else edge_weight.unsqueeze(-1))

    def message_and_aggregate(
        self,
        edge_index: Adj,
        x: Tensor,
        edge_weight: Tensor,
        size: Size,
    ) -> Tensor:
        sending, receiving = (0, 1) if self.flow == 'source_to_target' else (1, 0)
        row, col = edge_index[receiving], edge_index[sending]  # [E], [E]
        if self.aggr == 'mean':
            edge_weight = mean_weight(row, edge_weight, size[receiving])
        return spmm(row, col, edge_weight, x, size[receiving])

    def edge_update(
        self,
        edge_index: Adj,
        edge_weight: Tensor,
        query: Tensor,
        key: Tensor,
        offset: OptTensor,
    ) -> Tensor:
        # `query` and `key` come unlifted: a scalar edge needs no [E, F] copy of either end.
        src, dst = edge_index[0], edge_index[1]
        if edge_weight.dim() == 2:
            return torch.sigmoid(edge_weight + query[src] + key[dst])
        logit = edge_weight + sddmm(src, dst, query, key)
        return torch.sigmoid(logit if offset is None else logit + offset[src])
