import torch
from torch_geometric.data import HeteroData
from torch_geometric.typing import NodeType

from drin_pyg.features.pair_tables import check_finite
from drin_pyg.vocabulary import EDGE_TYPES, NODE_TYPES


def validate(data: HeteroData, in_channels: dict[NodeType, int] | None = None) -> HeteroData:
    r"""Checks that a graph or batch, however it was made, is one that the models can trust.

    PyG batches graphs of different stores without a word and gets them wrong, so a graph that
    lacks a store is refused here: a missing image is ``x`` of shape ``[0, F]`` and ``edge_index``
    of shape ``[2, 0]``.

    Args:
        data: The graph.
        in_channels: Expected feature width of each node type, if known.

    Returns:
        ``data`` itself.

    Raises:
        ValueError: Naming the first store or field at fault and the remedy.
    """
    for node_type in NODE_TYPES:
        x = data[node_type].get('x') if node_type in data.node_types else None
        if x is None:
            raise ValueError(f"The graph lacks the node store '{node_type}' or its 'x'; a graph without such "
                             f"vertices holds 'x' of shape [0, F]")
        if x.dim() != 2 or not x.is_floating_point():
            raise ValueError(f"data['{node_type}'].x must be a float tensor [N, F], got {x.dtype} {list(x.shape)}")
        width = x.size(1) if in_channels is None else in_channels.get(node_type, -1)
        if width not in (-1, x.size(1)):
            raise ValueError(f"data['{node_type}'].x is {x.size(1)} wide, but the model expects {width}; use the "
                             f"features that the model was trained on")
        check_finite(f"data['{node_type}'].x", x)
        row = data[node_type].get('row')
        if row is not None:
            _check_index(f"data['{node_type}'].row", row, x.size(0), node_type)

    for edge_type in EDGE_TYPES:
        src, _, dst = edge_type
        store = data[edge_type] if edge_type in data.edge_types else {}
        for key, empty in (('edge_index', '[2, 0]'), ('edge_weight', '[0]')):
            if key not in store:
                raise ValueError(f"The graph lacks the edge store {edge_type} or its '{key}'; a graph without such "
                                 f"edges holds '{key}' of shape {empty}")
        edge_index, edge_weight = store['edge_index'], store['edge_weight']
        if edge_index.dim() != 2 or edge_index.size(0) != 2 or edge_index.dtype != torch.long:
            raise ValueError(f"data[{edge_type}].edge_index must be int64 [2, E], got {edge_index.dtype} "
                             f"{list(edge_index.shape)}")
        if edge_weight.shape[:1] != edge_index.shape[1:] or not edge_weight.is_floating_point():
            raise ValueError(f"data[{edge_type}].edge_weight must be one float for each of the "
                             f"{edge_index.size(1)} edges, got {edge_weight.dtype} {list(edge_weight.shape)}")
        check_finite(f"data[{edge_type}].edge_weight", edge_weight)
        _check_index(f"data[{edge_type}].edge_index[0]", edge_index[0], data[src].num_nodes, src)
        _check_index(f"data[{edge_type}].edge_index[1]", edge_index[1], data[dst].num_nodes, dst)
    return data


def _check_index(name: str, index: torch.Tensor, size: int, node_type: NodeType) -> None:
    if index.numel() and (int(index.min()) < 0 or int(index.max()) >= size):
        bad = index[(index < 0) | (index >= size)][0]
        raise ValueError(f"{name} points at row {int(bad)} of '{node_type}', which has rows 0 to {size - 1}")
