"""A ragged little world: 0 to 3 images on either side, 0 to 7 candidates, one of them twice in a list."""

from dataclasses import dataclass

import pytest
import torch

from drin_pyg.features import Candidates, PairTables
from drin_pyg.vocabulary import EDGE_TYPES, ENTITY_IMAGE, ENTITY_TEXT, MENTION_IMAGE, MENTION_TEXT

WIDTHS = {MENTION_TEXT: 4, MENTION_IMAGE: 5, ENTITY_TEXT: 6, ENTITY_IMAGE: 3}
NUM_IMAGES = {MENTION_IMAGE: [1, 0, 2, 3, 1, 0], ENTITY_IMAGE: [1, 1, 0, 2, 0, 3, 1, 0]}
LISTS = [[0, 1, 2], [], [3], [6, 5, 4, 3, 2, 1, 0], [2, 5, 2], [7, 4]]  # 6 mentions, 16 pairs, 8 entities
GOLD = [1, -1, 3, 7, 2, 4]                                              # mention 3's is not in its list


@dataclass
class World:
    tables: PairTables
    candidates: Candidates


def make_tables(num_images, num_mentions=6, num_entities=8):
    generator = torch.Generator().manual_seed(0)

    def randn(*size):
        return torch.randn(*size, generator=generator)

    rows = {MENTION_TEXT: num_mentions, ENTITY_TEXT: num_entities, **{t: sum(n) for t, n in num_images.items()}}
    x = {node_type: randn(rows[node_type], width) for node_type, width in WIDTHS.items()}
    weight = {edge_type: (randn(rows[edge_type[0]], 3), randn(rows[edge_type[2]], 3)) for edge_type in EDGE_TYPES}
    ptr = {t: torch.tensor([0, *n]).cumsum(0) for t, n in num_images.items()}
    return PairTables(x, weight, ptr)


@pytest.fixture
def world():
    return World(make_tables(NUM_IMAGES), Candidates.from_lists(LISTS, GOLD))


@pytest.fixture
def single_world():
    """At most one image on either side, and given first weights for two relations."""
    single = {node_type: [min(n, 1) for n in counts] for node_type, counts in NUM_IMAGES.items()}
    plain = Candidates.from_lists(LISTS, GOLD)
    generator = torch.Generator().manual_seed(1)
    weight = {t: torch.randn(plain.num_pairs, generator=generator) for t in (EDGE_TYPES[0], EDGE_TYPES[3])}
    return World(make_tables(single), Candidates(plain.ptr, plain.entity, plain.gold, weight))
