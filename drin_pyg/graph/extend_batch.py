r"""What the transforms that extend a batch of :class:`~drin_pyg.graph.CandidateLoader` have in common."""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.data import HeteroData
from torch_geometric.typing import EdgeType, NodeType
from torch_geometric.utils import cumsum

from drin_pyg.features.candidates import ranges
from drin_pyg.features.inner_products import inner_products
from drin_pyg.features.pair_tables import check_finite
from drin_pyg.vocabulary import ENTITY_IMAGE, ENTITY_TEXT


def forget_graphs(batch: HeteroData) -> None:
    r"""Forgets where the graphs of a batch lie: PyG would cut the old stores alone.

    Raises:
        ValueError: If it is a single graph and no batch.
    """
    if 'batch' not in batch[ENTITY_TEXT]:
        raise ValueError("Vertices and relations are added to batches, but this is a single graph; make a batch of it "
                         "with `candidate_batch` or `Batch.from_data_list`")
    for name in ('_slice_dict', '_inc_dict'):  # asked for by name, PyG would look for stores to collect
        vars(batch._global_store).pop(name, None)


def add_to_mentions(batch: HeteroData, node_type: NodeType, name: str, table: Tensor,
                    ptr: Tensor | None = None) -> None:
    r"""Adds vertices of the mention to every graph that has a pair: the batch does not say of another whose it is.

    Args:
        batch: The batch.
        node_type: Type of the vertices.
        name: What to call the mentions' rows in an error.
        table: Features ``[R, F]``.
        ptr: int64 ``[M + 1]``: mention ``m`` has the rows ``ptr[m]:ptr[m + 1]``; None for row ``m``.
    """
    graph, counts = torch.unique_consecutive(batch[ENTITY_TEXT].batch, return_counts=True)   # [G'], [G']
    mention = batch.mention[cumsum(counts)[:-1]]                                             # [G']
    check_rows(name, table.size(0) if ptr is None else ptr.numel() - 1, mention)
    if ptr is None:
        add_vertices(batch, node_type, table, mention, graph)
    else:
        counts = ptr.diff()[mention]
        add_vertices(batch, node_type, table, ranges(ptr[mention], counts), graph.repeat_interleave(counts))


def add_vertices(batch: HeteroData, node_type: NodeType, table: Tensor, row: Tensor, graph: Tensor) -> None:
    r"""Adds a node store: vertex ``i`` has row ``row[i]`` of ``table`` and is in graph ``graph[i]`` (ascending)."""
    store = batch[node_type]
    if 'row' in batch[ENTITY_TEXT]:  # a compact batch
        distinct, store.row = torch.unique(row, return_inverse=True)
        store.x, store.num_nodes = table[distinct], row.numel()
    else:
        store.x = table[row]
    store.batch, store.ptr = graph, cumsum(torch.bincount(graph, minlength=batch.num_graphs))


def join(batch: HeteroData, edge_type: EdgeType, compare: tuple[Tensor, Tensor] | None = None) -> None:
    r"""Adds a relation from every source on the mention side to every destination of the same graph.

    The store gets ``edge_index`` ``[2, E]``, sorted by destination, ``edge_weight`` ``[E]``, the cosine of the
    two ends' features, and ``pair`` ``[E]``, the pair of each edge.

    Args:
        batch: The batch.
        edge_type: The relation; its destination has one vertex a pair, or is the candidate's images.
        compare: A table, and the row of each destination in it, to compare with instead of its features.

    Raises:
        ValueError: If the two ends' features differ in width.
    """
    src, _, dst = edge_type
    ptr, graph = batch[src].ptr, batch[dst].batch
    degree = ptr.diff()[graph]                           # [N_dst]
    end = torch.repeat_interleave(degree)                # [E]
    source = ranges(ptr[graph], degree)                  # [E]
    a, a_row = vertex_rows(batch, src)
    b, b_row = vertex_rows(batch, dst) if compare is None else compare
    if a.size(1) != b.size(1):
        raise ValueError(f"The first weight of {edge_type} is a cosine, but its ends are {a.size(1)} and {b.size(1)} "
                         f"wide; encode both with one encoder")
    store = batch[edge_type]
    store.edge_index = torch.stack([source, end])        # [2, E]
    store.edge_weight = inner_products(F.normalize(b, dim=-1), F.normalize(a, dim=-1).to(b.dtype), b_row[end],
                                       a_row[source])
    store.pair = torch.repeat_interleave(batch[ENTITY_TEXT].num_images)[end] if dst == ENTITY_IMAGE else end


def vertex_rows(batch: HeteroData, node_type: NodeType) -> tuple[Tensor, Tensor]:
    r"""Distinct features ``[U, F]`` of a type, and which of them each vertex has, ``[N]``."""
    x = batch[node_type].x
    return x, batch[node_type].get('row', torch.arange(x.size(0)))


def check_table(name: str, table: Tensor) -> Tensor:
    r"""The table itself, if it is float, ``[rows, F]`` and finite; otherwise a ValueError that names it."""
    if table.dim() != 2 or not table.is_floating_point():
        raise ValueError(f"'{name}' must be a float tensor [rows, F], got {table.dtype} {list(table.shape)}")
    check_finite(f"'{name}'", table)
    return table


def check_rows(name: str, num_rows: int, owner: Tensor) -> None:
    r"""Raises ValueError unless each mention (or entity) in ``owner`` has a row."""
    if owner.numel() and int(owner.max()) >= num_rows:
        raise ValueError(f"'{name}' has rows for {num_rows} mentions or entities, but the batch has number "
                         f"{int(owner.max())}; give one for each of the tables, in their order")
