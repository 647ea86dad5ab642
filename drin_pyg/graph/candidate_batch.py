from typing import Literal

import torch
from torch import Tensor
from torch_geometric.data import Batch, HeteroData
from torch_geometric.typing import EdgeType, NodeType
from torch_geometric.utils import cumsum

from drin_pyg.features.candidates import Candidates, ranges
from drin_pyg.features.pair_tables import PairTables
from drin_pyg.vocabulary import EDGE_TYPES, ENTITY_IMAGE, ENTITY_TEXT, MENTION_TYPES, NODE_TYPES

Context = Literal['pair', 'mention']


def candidate_batch(
    tables: PairTables,
    candidates: Candidates,
    mention: Tensor | None = None,
    *,
    context: Context = 'pair',
    compact: bool = False,
) -> HeteroData:
    r"""Builds the graphs of many mention-candidate pairs at once, with no loop over pairs.

    Equal, field by field, to :meth:`Batch.from_data_list` of the single graphs:

    * ``context="pair"``: one :func:`pair_graph` per pair. A candidate's score does not depend on
      which other candidates there are.
    * ``context="mention"``: one :func:`mention_graph` per mention, whose two mention vertices all
      its candidates share, as in the paper's Figure 4.

    Args:
        tables: Features and first weights of all mentions and entities.
        candidates: Candidate lists; list ``m`` belongs to mention row ``m`` of ``tables``.
        mention: Mentions to build, int64 ``[B]`` (default: all), in this order.
        context: Whose mention vertices; see above.
        compact: Store each distinct table row once: ``x`` then holds distinct rows ``[U, F]`` and
            ``row`` ``[N]`` says which of them each vertex has. :class:`~drin_pyg.nn.DRIN` then
            projects an entity once, not once for each mention it is a candidate of. Such a batch
            cannot be split into its graphs again.

    Returns:
        A :class:`~torch_geometric.data.Batch` of :class:`~torch_geometric.data.HeteroData` with
        the stores of :func:`pair_graph`. Scores of a model follow the order of its ``entity``.

    Raises:
        ValueError: If tables and candidates do not fit together.
        IndexError: If a mention or entity is out of range.
    """
    if context not in ('pair', 'mention'):
        raise ValueError(f"'context' must be 'pair' or 'mention', got {context!r}")
    if mention is None:
        mention = torch.arange(candidates.num_mentions)
    _check_range('mention', mention, min(tables.num_mentions, candidates.num_mentions))
    pairs = candidates.pairs_of(mention)                                   # [P]
    entity, counts = candidates.entity[pairs], candidates.counts[mention]  # [P], [B]
    _check_range('entity', entity, tables.num_entities)
    pair_mention = mention.repeat_interleave(counts)                       # [P]

    # A graph is a mention with some of its candidates: all of them, or one.
    if context == 'pair':
        graph_mention, graph_counts = pair_mention, torch.ones_like(entity)  # [G], [G]
    else:
        graph_mention, graph_counts = mention, counts
    num_graphs = graph_mention.numel()
    pair_graph_id = torch.repeat_interleave(graph_counts)  # [P], graph of each pair

    batch = Batch(_base_cls=HeteroData)
    rows, ptrs, owners = {}, {}, {}
    for node_type in NODE_TYPES:
        is_mention = node_type in MENTION_TYPES
        owner = graph_mention if is_mention else entity                            # [O]
        owner_graph = torch.arange(num_graphs) if is_mention else pair_graph_id    # [O]
        num_rows = tables.num_rows(node_type, owner)                               # [O]
        rows[node_type] = ranges(tables.first_row(node_type, owner), num_rows)     # [N]
        owners[node_type] = torch.repeat_interleave(num_rows)                      # [N]
        graph = owner_graph[owners[node_type]]                                     # [N], sorted
        ptrs[node_type] = cumsum(graph.bincount(minlength=num_graphs))             # [G + 1]
        store = batch[node_type]
        if compact:
            distinct, store.row = torch.unique(rows[node_type], return_inverse=True)
            store.x = tables.x[node_type][distinct]
            store.num_nodes = graph.numel()
        else:
            store.x = tables.x[node_type][rows[node_type]]
        if node_type == ENTITY_TEXT:
            store.num_images = tables.num_rows(ENTITY_IMAGE, entity)
        store.batch, store.ptr = graph, ptrs[node_type]

    for edge_type in EDGE_TYPES:
        src, _, dst = edge_type
        edge_index = _complete_bipartite(ptrs[src], ptrs[dst])  # [2, E]
        batch[edge_type].edge_index = edge_index
        if edge_type in candidates.weight:
            _check_single(edge_type, tables, graph_mention, entity)
            batch[edge_type].edge_weight = candidates.weight[edge_type][pairs][owners[dst][edge_index[1]]]
        else:
            batch[edge_type].edge_weight = tables.first_weight(
                edge_type, rows[src][edge_index[0]], rows[dst][edge_index[1]])

    batch.mention, batch.entity = pair_mention, entity
    if candidates.gold is not None:
        batch.y = entity == candidates.gold[pair_mention]
    batch._num_graphs = num_graphs
    if not compact:
        _add_slices(batch, ptrs, cumsum(graph_counts))
    return batch


def forward_args(batch: HeteroData) -> dict:
    r"""The arguments of :meth:`drin_pyg.nn.DRIN.forward` that a graph or batch holds.

    Args:
        batch: From :func:`pair_graph`, :func:`mention_graph` or :func:`candidate_batch`.
    """
    return {
        'x_dict': batch.x_dict,
        'edge_index_dict': batch.edge_index_dict,
        'edge_weight_dict': batch.edge_weight_dict,
        'row_dict': batch.collect('row', allow_empty=True) or None,
        'num_images': batch[ENTITY_TEXT].num_images,
    }


def pair_of_edge(batch: HeteroData, edge_type: EdgeType) -> Tensor:
    r"""The pair (position among the candidates) that each edge of a relation belongs to, int64 ``[E]``.

    Args:
        batch: From :func:`pair_graph`, :func:`mention_graph` or :func:`candidate_batch`.
        edge_type: A relation of the vocabulary.
    """
    entity = batch[edge_type].edge_index[1]
    if edge_type[2] == ENTITY_IMAGE:
        return torch.repeat_interleave(batch[ENTITY_TEXT].num_images)[entity]
    return entity


def _complete_bipartite(src_ptr: Tensor, dst_ptr: Tensor) -> Tensor:
    """Edges from every source to every destination of the same graph, sorted by source, ``[2, E]``."""
    num_src = src_ptr[1:] - src_ptr[:-1]                                         # [G]
    graph = torch.repeat_interleave(num_src)                                     # [N_src]
    degree = (dst_ptr[1:] - dst_ptr[:-1])[graph]                                 # [N_src]
    return torch.stack([torch.repeat_interleave(degree), ranges(dst_ptr[graph], degree)])


def _add_slices(batch: HeteroData, ptrs: dict[NodeType, Tensor], pair_ptr: Tensor) -> None:
    """Where each graph's part of each field lies, which lets PyG split the batch again."""
    num_graphs = batch._num_graphs
    none = torch.zeros(num_graphs, dtype=torch.long)
    slices, increments = {}, {}
    for key in ('mention', 'entity', 'y'):
        if key in batch:
            slices[key], increments[key] = pair_ptr, none
    for node_type in NODE_TYPES:
        slices[node_type] = {'x': ptrs[node_type]}
        increments[node_type] = {'x': none}
    slices[ENTITY_TEXT]['num_images'], increments[ENTITY_TEXT]['num_images'] = pair_ptr, none
    for edge_type in EDGE_TYPES:
        src, _, dst = edge_type
        num_edges = (ptrs[src][1:] - ptrs[src][:-1]) * (ptrs[dst][1:] - ptrs[dst][:-1])
        slices[edge_type] = {'edge_index': cumsum(num_edges), 'edge_weight': cumsum(num_edges)}
        offset = torch.stack([ptrs[src][:-1], ptrs[dst][:-1]], dim=1).unsqueeze(-1)  # [G, 2, 1]
        increments[edge_type] = {'edge_index': offset, 'edge_weight': none}
    batch._slice_dict, batch._inc_dict = slices, increments


def _check_range(name: str, row: Tensor, size: int) -> None:
    if row.numel() and (int(row.min()) < 0 or int(row.max()) >= size):
        bad = row[(row < 0) | (row >= size)][0]
        raise IndexError(f"There is no {name} {int(bad)}; there are {name} rows 0 to {size - 1}")


def _check_single(edge_type: EdgeType, tables: PairTables, mention: Tensor, entity: Tensor) -> None:
    for node_type, owner in ((edge_type[0], mention), (edge_type[2], entity)):
        if bool((tables.num_rows(node_type, owner) > 1).any()):
            raise ValueError(f"A given weight[{edge_type}] is one number per pair, but some '{node_type}' here has "
                             f"several images; give the relation's two tables in PairTables instead")
