import pytest
import torch

from drin_pyg.features import Candidates
from drin_pyg.graph import candidate_batch
from drin_pyg.graph.weigh_pairs import weigh_pairs
from drin_pyg.vocabulary import EDGE_TYPES, TEXT_TEXT


@pytest.mark.parametrize('context', ['pair', 'mention'])
@pytest.mark.parametrize('chunk', [3, 1000])
def test_batches_are_the_same(single_world, world, context, chunk, monkeypatch):
    monkeypatch.setattr('drin_pyg.graph.weigh_pairs.CHUNK', chunk)
    for tables, candidates in ((single_world.tables, single_world.candidates), (world.tables, world.candidates)):
        once = weigh_pairs(tables, candidates)
        for edge_type in EDGE_TYPES:
            expected, found = (candidate_batch(tables, lists, context=context)[edge_type]
                               for lists in (candidates, once))
            assert torch.equal(found.edge_index, expected.edge_index)
            torch.testing.assert_close(found.edge_weight, expected.edge_weight)


def test_given_weights_stay_and_several_images_keep_their_tables(single_world, world):
    once = weigh_pairs(single_world.tables, single_world.candidates)
    assert set(once.weight) == set(EDGE_TYPES)
    for edge_type, weight in single_world.candidates.weight.items():
        assert once.weight[edge_type] is weight
    assert set(weigh_pairs(world.tables, world.candidates).weight) == {TEXT_TEXT}
    nobody = Candidates.from_lists([[]] * 6)
    assert all(weight.numel() == 0 for weight in weigh_pairs(world.tables, nobody).weight.values())
