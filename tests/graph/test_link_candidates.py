import pytest
import torch

from drin_pyg.features import Candidates
from drin_pyg.graph import LinkCandidates, candidate_batch, pair_graph
from drin_pyg.vocabulary import ENTITY_TEXT, SIMILAR
from tests.graph.loops import cosine, graphs_of

MENTIONS = [5, 0, 1, 3, 2, 4, 0]


@pytest.mark.parametrize('compact', [False, True])
@pytest.mark.parametrize('k', [1, 2, 3, 100])
def test_neighbours_against_loops(world, k, compact):
    batch = LinkCandidates(k)(candidate_batch(world.tables, world.candidates, torch.tensor(MENTIONS),
                                              context='mention', compact=compact))
    x, expected = world.tables.x[ENTITY_TEXT], []
    for _, own in graphs_of(world, MENTIONS, 'mention'):
        for pair, e in own:
            others = [(cosine(x[e], x[other]), place) for place, other in own if place != pair]
            others.sort(key=lambda item: -item[0])
            expected += [(pair, place, weight) for weight, place in others[:k]]
    store = batch[SIMILAR]
    assert list(zip(*store.edge_index.tolist(), strict=True)) == [(a, b) for a, b, _ in expected]
    torch.testing.assert_close(store.edge_weight, torch.tensor([w for *_, w in expected]), rtol=0, atol=1e-5)
    assert 'pair' not in store  # the score does not read it


def test_of_equals_the_earlier(world):
    lists = Candidates.from_lists([[2, 2, 2, 2]] + [[]] * 5)
    batch = LinkCandidates(2)(candidate_batch(world.tables, lists, context='mention'))
    assert batch[SIMILAR].edge_index.tolist() == [[0, 0, 1, 1, 2, 2, 3, 3], [1, 2, 0, 2, 0, 1, 0, 1]]


def test_pair_context_is_refused(world):
    with pytest.raises(ValueError, match="has one of its own; load the data with context='mention'"):
        LinkCandidates(2)(candidate_batch(world.tables, world.candidates))


def test_lists_without_two_candidates_have_no_links(world):
    lists = Candidates.from_lists([[0], [], [3], [], [], [4]])
    for context in ('pair', 'mention'):
        batch = LinkCandidates(2)(candidate_batch(world.tables, lists, context=context))
        assert batch[SIMILAR].edge_index.shape == (2, 0)
        assert batch[SIMILAR].edge_weight.shape == (0, )


def test_a_changed_batch_cannot_be_cut(world):
    batch = candidate_batch(world.tables, world.candidates, context='mention')
    with pytest.raises((RuntimeError, KeyError)):
        LinkCandidates(2)(batch).get_example(0)


def test_bad_input(world):
    with pytest.raises(ValueError, match="'k' must be at least 1, got 0"):
        LinkCandidates(0)
    with pytest.raises(ValueError, match='this is a single graph'):
        LinkCandidates(1)(pair_graph(world.tables, 0, 0))
