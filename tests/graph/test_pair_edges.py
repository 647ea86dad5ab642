import pytest
import torch

from drin_pyg.graph import PairEdges, candidate_batch
from drin_pyg.vocabulary import EDGE_TYPES, ENTITY_IMAGE
from tests.graph.loops import entity_side, graphs_of


@pytest.mark.parametrize('context', ['pair', 'mention'])
@pytest.mark.parametrize('compact', [False, True])
def test_every_edge_knows_its_pair(world, context, compact):
    mentions = [5, 0, 1, 3, 2, 4]
    batch = candidate_batch(world.tables, world.candidates, torch.tensor(mentions), context=context, compact=compact)
    found = PairEdges()(batch)
    graphs = graphs_of(world, mentions, context)
    for edge_type in EDGE_TYPES:
        dst = edge_type[2]
        ptr = world.tables.ptr[dst] if dst == ENTITY_IMAGE else None
        pair = entity_side(graphs, world.tables.x[dst], ptr).pair
        expected = [pair[j] for j in batch[edge_type].edge_index[1].tolist()]
        assert found[edge_type].pair.dtype == torch.long
        assert found[edge_type].pair.tolist() == expected
        assert 'pair' not in batch[edge_type]
