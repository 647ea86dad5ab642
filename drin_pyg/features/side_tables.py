from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch_geometric.typing import EdgeType, NodeType
from torch_geometric.utils import cumsum

from drin_pyg.features.candidates import ranges
from drin_pyg.features.pair_tables import PairTables
from drin_pyg.vocabulary import EDGE_TYPES, ENTITY_IMAGE, ENTITY_TEXT, MENTION_IMAGE, MENTION_TEXT


@dataclass(frozen=True, eq=False)
class SideTables:
    r"""One side of :class:`PairTables`: the mentions, or the entities.

    Args:
        text: Features of the texts, ``[N, F]``.
        image: Features of the images, ``[I, G]``.
        ptr: Whose images they are, int64 ``[N + 1]``: owner ``n`` has ``ptr[n]:ptr[n + 1]``.
        weight: Relation to this side's table of its first weights, ``[N, D]`` or ``[I, D]``
            depending on which vertex of this side the relation ends in.
    """

    text: Tensor
    image: Tensor
    ptr: Tensor
    weight: dict[EdgeType, Tensor]


def select_mentions(side: SideTables, mention: Tensor) -> SideTables:
    r"""The mention side's tables of the given mentions ``[B]``, in that order, as new mentions ``0..B-1``."""
    counts = side.ptr[mention + 1] - side.ptr[mention]
    image = ranges(side.ptr[mention], counts)
    weight = {edge_type: table[mention if edge_type[0] == MENTION_TEXT else image]
              for edge_type, table in side.weight.items()}
    return SideTables(side.text[mention], side.image[image], cumsum(counts), weight)


def pair_tables(mention: SideTables, entity: SideTables, known: Sequence[NodeType] = ()) -> PairTables:
    r"""Puts the two sides together.

    Args:
        mention: The mentions' side.
        entity: The entities' side.
        known: As of :class:`PairTables`.
    """
    return PairTables(
        x={MENTION_TEXT: mention.text, MENTION_IMAGE: mention.image, ENTITY_TEXT: entity.text,
           ENTITY_IMAGE: entity.image},
        weight={edge_type: (mention.weight[edge_type], entity.weight[edge_type]) for edge_type in EDGE_TYPES},
        ptr={MENTION_IMAGE: mention.ptr, ENTITY_IMAGE: entity.ptr},
        known=known,
    )


def side_tables(tables: PairTables) -> tuple[SideTables, SideTables]:
    r"""Takes tables apart: the mentions' side and the entities' side, which share the tables' memory."""
    sides = []
    for end, (text, image) in enumerate(((MENTION_TEXT, MENTION_IMAGE), (ENTITY_TEXT, ENTITY_IMAGE))):
        ptr = tables.ptr.get(image)
        ptr = torch.arange(tables.x[text].size(0) + 1) if ptr is None else ptr
        weight = {edge_type: tables.weight[edge_type][end] for edge_type in EDGE_TYPES}
        sides.append(SideTables(tables.x[text], tables.x[image], ptr, weight))
    return sides[0], sides[1]
