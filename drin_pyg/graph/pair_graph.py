from collections.abc import Sequence

import torch
from torch import Tensor
from torch_geometric.data import HeteroData
from torch_geometric.typing import EdgeType

from drin_pyg.features.pair_tables import PairTables
from drin_pyg.vocabulary import EDGE_TYPES, ENTITY_TEXT, ENTITY_TYPES, MENTION_TYPES


def pair_graph(
    tables: PairTables,
    mention: int,
    entity: int,
    *,
    y: bool | None = None,
    weight: dict[EdgeType, Tensor] | None = None,
) -> HeteroData:
    r"""The typed graph of one mention and one candidate (DRIN, Section 3.3).

    It holds one vertex per text, one per image (none if the image is missing), and in each of the
    four relations one edge between every vertex of the mention side and every vertex of the entity
    side.

    Args:
        tables: Features and first weights of all mentions and entities.
        mention: Row of the mention.
        entity: Row of the candidate.
        y: Whether the candidate is the answer; stored as ``y`` if given.
        weight: Given first weights, edge type to ``[1]``; see :class:`Candidates`.

    Returns:
        :class:`~torch_geometric.data.HeteroData` with ``x`` ``[N, F]`` in every node store,
        ``edge_index`` ``[2, E]`` and ``edge_weight`` ``[E]`` in every edge store (possibly empty,
        never absent), ``num_images`` ``[1]`` (images of the candidate) in the entity text store,
        and the row numbers ``mention`` ``[1]`` and ``entity`` ``[1]``.

    Raises:
        IndexError: If the mention or the entity does not exist.

    Example:
        >>> from drin_pyg import EDGE_TYPES, NODE_TYPES, PairTables
        >>> x = {t: torch.randn(3, 8) for t in NODE_TYPES}  # three mentions and entities, an image each
        >>> tables = PairTables(x, {e: (x[e[0]], x[e[2]]) for e in EDGE_TYPES})
        >>> graph = pair_graph(tables, mention=0, entity=2)
        >>> graph['entity_text'].x.equal(x['entity_text'][2:])
        True
        >>> [graph[e].num_edges for e in EDGE_TYPES]
        [1, 1, 1, 1]
    """
    return mention_graph(tables, mention, [entity], y=None if y is None else [y], weight=weight)


def mention_graph(
    tables: PairTables,
    mention: int,
    entities: Sequence[int],
    *,
    y: Sequence[bool] | None = None,
    weight: dict[EdgeType, Tensor] | None = None,
) -> HeteroData:
    r"""The typed graph of one mention and all ``K`` of its candidates, which share the mention's
    vertices (DRIN, Figure 4).

    Same stores as :func:`pair_graph`; entity vertices follow the order of ``entities``, and
    ``mention``, ``entity``, ``y`` and ``num_images`` have one number per candidate. ``K`` may be 0.

    Args:
        tables: Features and first weights of all mentions and entities.
        mention: Row of the mention.
        entities: Rows of the candidates.
        y: Whether each candidate is the answer; stored as ``y`` if given.
        weight: Given first weights, edge type to ``[K]``; see :class:`Candidates`.
    """
    _check_row('mention', mention, tables.num_mentions)
    for entity in entities:
        _check_row('entity', entity, tables.num_entities)

    data, rows, slots = HeteroData(), {}, {}
    for node_type in (*MENTION_TYPES, *ENTITY_TYPES):
        owners = [mention] if node_type in MENTION_TYPES else entities
        rows[node_type], slots[node_type] = [], []
        for slot, owner in enumerate(owners):
            owner = torch.tensor(owner)
            first, count = int(tables.first_row(node_type, owner)), int(tables.num_rows(node_type, owner))
            rows[node_type] += range(first, first + count)
            slots[node_type] += [slot] * count
        data[node_type].x = tables.x[node_type][torch.tensor(rows[node_type], dtype=torch.long)]
    data[ENTITY_TEXT].num_images = torch.tensor(
        [int(tables.num_rows(ENTITY_TYPES[1], torch.tensor(entity))) for entity in entities], dtype=torch.long)

    for edge_type in EDGE_TYPES:
        src, _, dst = edge_type
        pairs = [(i, j) for i in range(len(rows[src])) for j in range(len(rows[dst]))]
        edge_index = torch.tensor(pairs, dtype=torch.long).reshape(-1, 2).t().contiguous()  # [2, E]
        if weight is not None and edge_type in weight:
            _check_single(edge_type, len(rows[src]), torch.tensor(slots[dst], dtype=torch.long).bincount())
            edge_weight = weight[edge_type][torch.tensor([slots[dst][j] for _, j in pairs], dtype=torch.long)]
        else:
            src_row = torch.tensor([rows[src][i] for i, _ in pairs], dtype=torch.long)
            dst_row = torch.tensor([rows[dst][j] for _, j in pairs], dtype=torch.long)
            edge_weight = tables.first_weight(edge_type, src_row, dst_row)
        data[edge_type].edge_index = edge_index
        data[edge_type].edge_weight = edge_weight  # [E]

    data.mention = torch.full((len(entities), ), mention, dtype=torch.long)
    data.entity = torch.tensor(entities, dtype=torch.long)
    if y is not None:
        data.y = torch.tensor(y, dtype=torch.bool)
    return data


def _check_row(name: str, row: int, size: int) -> None:
    if not 0 <= row < size:
        raise IndexError(f"There is no {name} {row}; the tables hold {name} rows 0 to {size - 1}")


def _check_single(edge_type: EdgeType, num_src: int, num_dst: Tensor) -> None:
    if num_src > 1 or bool((num_dst > 1).any()):
        raise ValueError(f"A given weight[{edge_type}] is one number per pair, but a mention or entity here has "
                         f"several images; give the relation's two tables in PairTables instead")
