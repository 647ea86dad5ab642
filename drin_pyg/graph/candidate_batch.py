from typing import Literal, NamedTuple

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

    Example:
        >>> from drin_pyg import EDGE_TYPES, NODE_TYPES, Candidates, PairTables
        >>> x = {t: torch.randn(3, 8) for t in NODE_TYPES}  # three mentions and entities, an image each
        >>> tables = PairTables(x, {e: (x[e[0]], x[e[2]]) for e in EDGE_TYPES})
        >>> lists = Candidates.from_lists([[0, 1], [2], [0, 1, 2]])
        >>> candidate_batch(tables, lists).num_graphs
        6
        >>> candidate_batch(tables, lists, context='mention').num_graphs
        3
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
        graph_mention, pair_ptr = pair_mention, torch.arange(entity.numel() + 1)  # [G], [G + 1]
    else:
        graph_mention, pair_ptr = mention, cumsum(counts)
    num_graphs = graph_mention.numel()
    mentions = _Vertices(graph_mention, torch.arange(num_graphs + 1), torch.arange(num_graphs))
    entities = _Vertices(entity, pair_ptr, torch.repeat_interleave(pair_ptr[1:] - pair_ptr[:-1]))
    vertices = {t: (mentions if t in MENTION_TYPES else entities).of_type(tables, t) for t in NODE_TYPES}

    batch = Batch(_base_cls=HeteroData)
    for node_type, (row, ptr, graph) in vertices.items():
        store = batch[node_type]
        if compact:
            distinct, store.row = torch.unique(row, return_inverse=True)
            store.x = tables.x[node_type].index_select(0, distinct)
            store.num_nodes = row.numel()
        else:
            store.x = tables.x[node_type].index_select(0, row)  # faster than x[row]
        store.batch, store.ptr = graph, ptr
    batch[ENTITY_TEXT].num_images = tables.num_rows(ENTITY_IMAGE, entity)

    for edge_type in EDGE_TYPES:
        src, _, dst = edge_type
        edge_index = _complete_bipartite(vertices[src], vertices[dst])  # [2, E]
        store = batch[edge_type]
        store.edge_index = edge_index
        if edge_type in candidates.weight:
            _check_single(edge_type, tables, graph_mention, entity)
            store.edge_weight = candidates.weight[edge_type][pairs[pair_of_edge(batch, edge_type)]]
        else:
            store.edge_weight = tables.first_weight(
                edge_type, vertices[src].row[edge_index[0]], vertices[dst].row[edge_index[1]])

    batch.mention, batch.entity = pair_mention, entity
    if candidates.gold is not None:
        batch.y = entity == candidates.gold[pair_mention]
    batch._num_graphs = num_graphs
    if not compact:
        _add_slices(batch, {t: of_type.ptr for t, of_type in vertices.items()}, pair_ptr)
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


class _Vertices(NamedTuple):
    """Vertices of one type: table row of each ``[N]``, where each graph's begin ``[G + 1]``, graph of each ``[N]``."""

    row: Tensor
    ptr: Tensor
    graph: Tensor

    @property
    def num(self) -> Tensor:
        """How many each graph has, ``[G]``."""
        return self.ptr[1:] - self.ptr[:-1]

    def of_type(self, tables: PairTables, node_type: NodeType) -> '_Vertices':
        """The vertices of a type, where these are the mentions (or entities) that own them."""
        first, count = tables.first_row(node_type, self.row), tables.num_rows(node_type, self.row)
        if bool((count == 1).all()):
            return self._replace(row=first)
        return _Vertices(ranges(first, count), cumsum(count)[self.ptr], self.graph.repeat_interleave(count))


def _complete_bipartite(src: _Vertices, dst: _Vertices) -> Tensor:
    """Edges from every source to every destination of the same graph, sorted by source, ``[2, E]``."""
    if bool((src.num == 1).all()):
        return torch.stack([dst.graph, torch.arange(dst.row.numel())])
    degree = dst.num[src.graph]                                                  # [N_src]
    return torch.stack([torch.repeat_interleave(degree), ranges(dst.ptr[src.graph], degree)])


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
