import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.nn.dense.linear import Linear
from torch_geometric.nn.module_dict import ModuleDict
from torch_geometric.nn.parameter_dict import ParameterDict
from torch_geometric.typing import EdgeType, Metadata, NodeType
from torch_geometric.utils import cumsum

from drin_pyg.nn.edge_rule import EdgeRule
from drin_pyg.nn.relation_conv import RelationConv, mean_weight
from drin_pyg.nn.sparse import spmm
from drin_pyg.vocabulary import METADATA

SHARED = 'shared'


class DRINConv(torch.nn.Module):
    r"""One dynamic relation layer of DRIN: new vertices AND new edge weights.

    From `"DRIN: Dynamic Relation Interactive Network for Multimodal Entity Linking"
    <https://arxiv.org/abs/2310.05589>`_ (ACM MM 2023, Section 3.4), for any relation metadata:

    .. math::
        \mathbf{x}^{\prime}_i &= \mathrm{GELU}\Bigl(\mathrm{LayerNorm}\Bigl(\mathbf{W}_h
        \Bigl(\mathbf{x}_i + \sum_{r} \frac{1}{|\mathcal{N}_r(i)|} \sum_{j \in \mathcal{N}_r(i)}
        e^{(r)}_{ij} \, \mathbf{x}_j \Bigr) + \mathbf{b}_h \Bigr)\Bigr)

        e^{\prime}_{ij} &= \sigma\Bigl(e_{ij} + \tfrac{1}{D} \sum_{k=1}^{D} \bigl[(\mathbf{W}_u
        \mathbf{x}_i + \mathbf{b}_u) \odot (\mathbf{W}_v \mathbf{x}_j + \mathbf{b}_v)\bigr]_k\Bigr)

    Every edge is undirected: its one weight carries messages both ways, and :math:`r` runs over
    the relations that touch :math:`i` from either side. Both rules read the layer's *input*
    vertices and weights.

    Args:
        in_channels: Width :math:`D` of all input vertices. Types of other widths need a Linear before the layer, such
            as :class:`~torch_geometric.nn.dense.HeteroDictLinear`; that may be lazy, the layer may not.
        out_channels: Width of all output vertices.
        metadata: Node types and edge types, as :meth:`HeteroData.metadata` gives them. Leave an
            edge type out to switch the relation off.
        dynamic: Whether edges are updated; otherwise :math:`e^{\prime} = e`.
        edge_dim: None for one weight per edge, or ``in_channels`` for vector edges, which follow
            :math:`\mathbf{e}^{\prime} = \sigma(\mathbf{W}_m(\mathbf{e} + [\mathbf{W}_u \mathbf{x}_i
            \,;\, \mathbf{W}_v \mathbf{x}_j]))`. They keep their width, so ``out_channels`` is
            usually ``in_channels`` too.
        shared: Whether all node types share :math:`\mathbf{W}_h` and the LayerNorm, and all
            relations :math:`\mathbf{W}_u, \mathbf{W}_v`, as in the paper; otherwise each type has
            its own.
        residual: Whether a layer adds to its input vertices instead of replacing them,
            :math:`\mathbf{x}^{\prime}_i = \mathbf{x}_i + \boldsymbol{\alpha} \odot
            \mathrm{GELU}(\ldots)` with :math:`\boldsymbol{\alpha} = \mathbf{0}` at the start, and
            the edge rules start at :math:`\sigma(e)`; the layer then begins by changing nothing.
        out_node_types: Node types to compute (default: all). No other vertex is computed and no
            parameter is created that only another vertex would read.
        out_edge_types: Edge types to update (default: all of ``metadata``).

    Raises:
        ValueError: If ``metadata`` is inconsistent or an output type is not part of it.

    Shapes:
        - **input:** ``x_dict``: node type to ``[N, in_channels]``; ``edge_index_dict``: edge type
          to ``[2, E]``; ``edge_weight_dict``: edge type to ``[E]`` (or ``[E, edge_dim]``)
        - **output:** ``x_dict``: output node type to ``[N, out_channels]``; ``edge_weight_dict``:
          output edge type to ``[E]`` (or ``[E, edge_dim]``)

    Example:
        >>> rates = ('user', 'rates', 'movie')
        >>> conv = DRINConv(8, 16, metadata=(['user', 'movie'], [rates]))
        >>> x_dict = {'user': torch.randn(3, 8), 'movie': torch.randn(2, 8)}
        >>> edge_index_dict = {rates: torch.tensor([[0, 1, 2], [0, 0, 1]])}
        >>> x_dict, weights = conv(x_dict, edge_index_dict, {rates: torch.tensor([0.9, 0.1, 0.5])})
        >>> x_dict['movie'].shape, weights[rates].shape
        (torch.Size([2, 16]), torch.Size([3]))
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        metadata: Metadata = METADATA,
        *,
        dynamic: bool = True,
        edge_dim: int | None = None,
        shared: bool = True,
        residual: bool = False,
        out_node_types: list[NodeType] | None = None,
        out_edge_types: list[EdgeType] | None = None,
    ):
        super().__init__()
        node_types, edge_types = list(metadata[0]), [tuple(t) for t in metadata[1]]
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.metadata = (node_types, edge_types)
        self.dynamic = dynamic
        self.edge_dim = edge_dim
        self.shared = shared
        self.residual = residual
        self.out_node_types = node_types if out_node_types is None else list(out_node_types)
        self.out_edge_types = edge_types if out_edge_types is None else [tuple(t) for t in out_edge_types]
        self._validate()

        self.convs = ModuleDict({edge_type: RelationConv() for edge_type in edge_types})
        vertex_keys = [SHARED] if shared else self.out_node_types
        vertex_keys = vertex_keys if self.out_node_types else []
        self.lins = ModuleDict({key: Linear(in_channels, out_channels) for key in vertex_keys})
        self.norms = ModuleDict({key: torch.nn.LayerNorm(out_channels) for key in vertex_keys})
        scale_keys = vertex_keys if residual else []
        self.scales = ParameterDict({key: torch.nn.Parameter(torch.empty(out_channels)) for key in scale_keys})
        rule_keys = [SHARED] if shared else self.out_edge_types
        rule_keys = rule_keys if dynamic and self.out_edge_types else []
        self.edge_rules = ModuleDict({key: EdgeRule(in_channels, edge_dim is not None, residual) for key in rule_keys})
        self.reset_parameters()

    def _validate(self) -> None:
        node_types, edge_types = self.metadata
        for src, name, dst in edge_types:
            for node_type in (src, dst):
                if node_type not in node_types:
                    raise ValueError(f"Edge type {(src, name, dst)} joins node type '{node_type}', which "
                                     f"the metadata does not list; its node types are {node_types}")
        for node_type in self.out_node_types:
            if node_type not in node_types:
                raise ValueError(f"Output node type '{node_type}' is not in the metadata {node_types}")
        for edge_type in self.out_edge_types:
            if edge_type not in edge_types:
                raise ValueError(f"Output edge type {edge_type} is not in the metadata {edge_types}")
        if self.in_channels < 1 or self.out_channels < 1:
            raise ValueError(f"A layer has one width for all its vertices, which cannot be left to the data; got "
                             f"in_channels={self.in_channels}, out_channels={self.out_channels}. Bring each type to it "
                             f"with a Linear of its own, which may be lazy (-1)")
        if self.residual and self.in_channels != self.out_channels:
            raise ValueError(f"A residual layer keeps the width of its vertices; got in_channels={self.in_channels}, "
                             f"out_channels={self.out_channels}")
        if self.edge_dim not in (None, self.in_channels):
            raise ValueError(f"Vector edges multiply the vertices element by element, so 'edge_dim' must be "
                             f"in_channels={self.in_channels}, got {self.edge_dim}")

    def reset_parameters(self) -> None:
        r"""Resets all learnable parameters of the module."""
        for modules in (self.lins, self.norms, self.edge_rules):
            for module in modules.values():
                module.reset_parameters()
        for scale in self.scales.values():
            torch.nn.init.zeros_(scale)

    def forward(
        self,
        x_dict: dict[NodeType, Tensor],
        edge_index_dict: dict[EdgeType, Tensor],
        edge_weight_dict: dict[EdgeType, Tensor],
        row_dict: dict[NodeType, Tensor] | None = None,
    ) -> tuple[dict[NodeType, Tensor], dict[EdgeType, Tensor]]:
        r"""Runs the layer.

        Args:
            x_dict: Vertices of each node type.
            edge_index_dict: Edges of each edge type, source row first. Edge types outside of
                ``metadata`` are ignored.
            edge_weight_dict: Weights of these edges.
            row_dict: If given, vertex ``i`` of node type ``t`` is ``x_dict[t][row_dict[t][i]]``.
                Vertices that occur many times, such as an entity that is a candidate of many
                mentions, are then multiplied by each matrix once.

        Raises:
            KeyError: If a node or edge type of ``metadata`` is missing; the message names it.
        """
        self._check(x_dict, edge_index_dict, edge_weight_dict)
        if row_dict is None or self.edge_dim is not None:
            if row_dict is not None:  # vector edges do not commute with W_h: expand the rows
                x_dict, row_dict = {t: x_dict[t][row_dict[t]] for t in self.metadata[0]}, None
            hidden = {t: self._combine(t, x_dict, edge_index_dict, edge_weight_dict) for t in self.out_node_types}
        else:
            hidden = self._combine_rows(x_dict, edge_index_dict, edge_weight_dict, row_dict)
        out_dict = {t: F.gelu(self.norms[SHARED if self.shared else t](h)) for t, h in hidden.items()}
        if self.residual:
            for t, out in out_dict.items():
                x = x_dict[t] if row_dict is None else x_dict[t][row_dict[t]]
                out_dict[t] = x + self.scales[SHARED if self.shared else t] * out
        return out_dict, self._update_edges(x_dict, edge_index_dict, edge_weight_dict, row_dict)

    def _messages(self, node_type: NodeType, edge_index_dict: dict, edge_weight_dict: dict,
                  row_dict: dict | None = None):
        """Every (conv, sending type, edge index from its vertices or rows towards `node_type`, weight)."""
        for edge_type, conv in self.convs.items():
            src, _, dst = edge_type = tuple(edge_type)
            for sender, receiver, flip in ((src, dst, False), (dst, src, True)):
                if receiver == node_type:
                    edge_index = edge_index_dict[edge_type]
                    edge_index = edge_index.flip([0]) if flip else edge_index
                    if row_dict is not None:
                        edge_index = torch.stack([row_dict[sender][edge_index[0]], edge_index[1]])
                    yield conv, sender, edge_index, edge_weight_dict[edge_type]

    def _combine(self, node_type: NodeType, x_dict: dict, edge_index_dict: dict, edge_weight_dict: dict) -> Tensor:
        """W_h (x_i + messages) + b_h: messages first, so that only output vertices are multiplied."""
        x = out = x_dict[node_type]
        messages = list(self._messages(node_type, edge_index_dict, edge_weight_dict))
        if self._fuses(messages):
            out = _sum_messages(out, [(x_dict[sender], *edges) for _, sender, *edges in messages], x.size(0))
        else:
            for conv, sender, edge_index, weight in messages:
                out = out + conv((x_dict[sender], x), edge_index, weight)  # [N, D]
        return self.lins[SHARED if self.shared else node_type](out)  # [N, out_channels]

    def _combine_rows(self, x_dict: dict, edge_index_dict: dict, edge_weight_dict: dict, row_dict: dict) -> dict:
        """The same with W_h first, on the rows: W_h (x_i + sum e x_j) = W_h x_i + sum e W_h x_j."""
        hidden, projected = {}, {}
        for node_type in self.out_node_types:
            lin = self.lins[SHARED if self.shared else node_type]
            messages = list(self._messages(node_type, edge_index_dict, edge_weight_dict, row_dict))
            if not self.shared:
                projected = {}
            for sender in (node_type, *(sender for _, sender, _, _ in messages)):  # in the same order in every process
                if sender not in projected:
                    projected[sender] = F.linear(x_dict[sender], lin.weight)
            row, own = row_dict[node_type], projected[node_type] + lin.bias
            if self._fuses(messages):  # a vertex itself is one more edge, of weight 1, from its row
                itself = torch.stack([row, torch.arange(row.numel(), device=row.device)])
                edges = [(projected[sender], edge_index, weight) for _, sender, edge_index, weight in messages]
                hidden[node_type] = _sum_messages(None, [(own, itself, own.new_ones(row.numel())), *edges], row.numel())
            else:
                hidden[node_type] = own[row]  # [N, out_channels]
                for conv, sender, edge_index, weight in messages:
                    size = (x_dict[sender].size(0), row.numel())
                    message = conv((projected[sender], None), edge_index, weight, size=size)  # [N, out_channels]
                    hidden[node_type] = hidden[node_type] + message
        return hidden

    def _fuses(self, messages: list) -> bool:
        """Whether the relations of a node type may be added up in one product, past their convs."""
        return self.edge_dim is None and all(conv.fuse and not conv.explain for conv, *_ in messages)

    def _update_edges(self, x_dict: dict, edge_index_dict: dict, edge_weight_dict: dict, row_dict: dict | None) -> dict:
        out_dict = {}
        for edge_type in self.out_edge_types:
            edge_index, edge_weight = edge_index_dict[edge_type], edge_weight_dict[edge_type]
            if self.dynamic:
                src, _, dst = edge_type
                rule = self.edge_rules[SHARED if self.shared else edge_type]
                query, key, offset = rule(x_dict[src], x_dict[dst])
                if row_dict is not None:
                    edge_index = torch.stack([row_dict[src][edge_index[0]], row_dict[dst][edge_index[1]]])
                edge_weight = self.convs[edge_type].edge_updater(
                    edge_index, edge_weight=rule.map_edges(edge_weight), query=query, key=key, offset=offset)
            out_dict[edge_type] = edge_weight
        return out_dict

    def _check(self, x_dict: dict, edge_index_dict: dict, edge_weight_dict: dict) -> None:
        for node_type in self.metadata[0]:
            if node_type not in x_dict:
                raise KeyError(f"'x_dict' lacks node type '{node_type}'; a graph without such vertices holds "
                               f"'x' of shape [0, {self.in_channels}]")
            if x_dict[node_type].size(-1) != self.in_channels:
                raise ValueError(f"The vertices '{node_type}' have width {x_dict[node_type].size(-1)}, and the layer "
                                 f"{self.in_channels}; bring each type to it with a Linear of its own")
        for name, mapping in (('edge_index_dict', edge_index_dict), ('edge_weight_dict', edge_weight_dict)):
            for edge_type in self.metadata[1]:
                if edge_type not in mapping:
                    raise KeyError(f"'{name}' lacks edge type {edge_type}; a graph without such edges holds an "
                                   f"empty tensor, and a relation is switched off by leaving it out of 'metadata'")
        for edge_type in self.metadata[1]:
            num_edges, num_weights = edge_index_dict[edge_type].size(1), edge_weight_dict[edge_type].size(0)
            if num_edges != num_weights:
                raise ValueError(f"The relation {edge_type} has {num_edges} edges and {num_weights} weights; each edge "
                                 f"has one")

    def __repr__(self) -> str:
        return (f'{self.__class__.__name__}({self.in_channels}, {self.out_channels}, '
                f'relations={len(self.metadata[1])}, dynamic={self.dynamic})')


def _sum_messages(root: Tensor | None, messages: list[tuple[Tensor, Tensor, Tensor]], num_rows: int) -> Tensor:
    """``root`` plus the weighted mean of each relation's messages ``(x, edge_index, weight)``, ``[N, D]``."""
    edges = [(edge_index[1], edge_index[0], mean_weight(edge_index[1], weight, num_rows)) for _, edge_index, weight
             in messages]
    if sum(x.size(0) for x, _, _ in messages) > num_rows:  # to put the senders together would cost more than it saves
        for (x, _, _), (row, col, weight) in zip(messages, edges, strict=True):
            root = spmm(row, col, weight, x, num_rows, root)
        return root
    if not messages:
        return root
    row = torch.cat([row for row, _, _ in edges])
    start = cumsum(torch.tensor([x.size(0) for x, _, _ in messages]))
    col = torch.cat([col + first for (_, col, _), first in zip(edges, start.tolist()[:-1], strict=True)])
    row, order = torch.sort(row, stable=True)  # here once, not in the product and again in its gradient
    weight = torch.cat([weight for _, _, weight in edges])[order]
    return spmm(row, col[order], weight, torch.cat([x for x, _, _ in messages]), num_rows, root)
