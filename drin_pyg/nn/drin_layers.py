r"""What :class:`~drin_pyg.nn.DRIN` and :class:`~drin_pyg.nn.HeteroDRIN` have in common."""

import torch
from torch import Tensor
from torch_geometric.nn.dense.linear import Linear
from torch_geometric.nn.module_dict import ModuleDict
from torch_geometric.typing import EdgeType, Metadata, NodeType

from drin_pyg.nn.drin_conv import DRINConv
from drin_pyg.nn.sparse import sddmm

NORM_EPS = 1e-12  # as of torch.nn.functional.normalize


def drin_layers(
    metadata: Metadata,
    node_types: set[NodeType],
    edge_types: set[EdgeType],
    num_layers: int,
    hidden_channels: int,
    **options,
) -> tuple[torch.nn.ModuleList, list[NodeType]]:
    r"""Dynamic layers of which each computes only what the next one, or the score, reads.

    Args:
        metadata: All node and edge types there are.
        node_types: Those whose last vertices the score reads.
        edge_types: Those whose last weights it reads.
        num_layers: Number of layers.
        hidden_channels: Width of all vertices.
        **options: Further arguments of :class:`DRINConv`.

    Returns:
        The layers, and the node types that the first one (or, without layers, the score) reads.
    """
    def ordered(some: set, everything: list) -> list:
        return [t for t in everything if t in some]

    nodes, edges, layers = set(node_types) | ends(edge_types), set(edge_types), []
    for _ in range(num_layers):  # backwards from what the score reads
        out_nodes, out_edges = nodes, edges
        used = {e for e in metadata[1] if e[0] in out_nodes or e[2] in out_nodes}
        nodes, edges = out_nodes | ends(used), used | out_edges
        layers.append(DRINConv(
            hidden_channels,
            hidden_channels,
            metadata=(ordered(nodes, metadata[0]), ordered(edges, metadata[1])),
            out_node_types=ordered(out_nodes, metadata[0]),
            out_edge_types=ordered(out_edges, metadata[1]),
            **options,
        ))
    return torch.nn.ModuleList(reversed(layers)), ordered(nodes, metadata[0])


def ends(edge_types: set[EdgeType]) -> set[NodeType]:
    r"""The node types that the edge types join."""
    return {e[0] for e in edge_types} | {e[2] for e in edge_types}


def edge_cosine(edge_index: Tensor, u: Tensor, v: Tensor) -> Tensor:
    r"""Cosine of the two ends of each edge.

    Args:
        edge_index: The edges, ``[2, E]``.
        u: Source vertices ``[N_src, D]``.
        v: Destination vertices ``[N_dst, D]``.

    Returns:
        ``[E]``
    """
    # The norms divide the products, not the vertices: that would take passes over all [N, D].
    norms = [torch.linalg.vector_norm(x, dim=-1).clamp(min=NORM_EPS)[end] for x, end in zip((u, v), edge_index,
                                                                                           strict=True)]
    return sddmm(edge_index[0], edge_index[1], u, v) / (norms[0] * norms[1])


def make_encoders(in_channels: int | dict[NodeType, int], node_types: list[NodeType], width: int) -> ModuleDict:
    r"""A Linear for each node type.

    Args:
        in_channels: Width of the features, as one number or by type; -1 infers it in the first forward pass.
        node_types: The types.
        width: Width of what comes out.

    Raises:
        ValueError: If a type is missing, or its features have no width: PyG would leave the parameters as memory
            happens to be.
    """
    channels = in_channels if isinstance(in_channels, dict) else dict.fromkeys(node_types, in_channels)
    for node_type in node_types:
        if node_type not in channels:
            raise ValueError(f"'in_channels' lacks node type '{node_type}'; give its width, or -1 to infer it")
        if channels[node_type] < 1 and channels[node_type] != -1:
            raise ValueError(f"'in_channels' of '{node_type}' must be at least 1, or -1 to infer it; got "
                             f"{channels[node_type]}")
    return ModuleDict({t: Linear(channels[t], width) for t in node_types})
