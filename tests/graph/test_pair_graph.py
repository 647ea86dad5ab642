import pytest
import torch

from drin_pyg.graph import mention_graph, pair_graph, validate
from drin_pyg.vocabulary import EDGE_TYPES, ENTITY_IMAGE, ENTITY_TEXT, MENTION_IMAGE, MENTION_TEXT, NODE_TYPES
from tests.graph.compare import assert_same_graph


def rows_of(tables, node_type, owner):
    """Table rows of one mention or entity, read off `ptr` by hand."""
    if node_type in tables.ptr:
        return list(range(int(tables.ptr[node_type][owner]), int(tables.ptr[node_type][owner + 1])))
    return [owner]


@pytest.mark.parametrize('mention', [0, 1, 3])   # 1, 0, 3 images
@pytest.mark.parametrize('entity', [0, 2, 5])    # 1, 0, 3 images
def test_pair_graph_is_what_the_tables_say(world, mention, entity):
    tables = world.tables
    data = pair_graph(tables, mention, entity)
    rows = {t: rows_of(tables, t, mention if t in (MENTION_TEXT, MENTION_IMAGE) else entity) for t in NODE_TYPES}
    assert data.node_types == NODE_TYPES
    assert data.edge_types == EDGE_TYPES
    for node_type in NODE_TYPES:
        assert data[node_type].x.tolist() == [tables.x[node_type][row].tolist() for row in rows[node_type]]
    for edge_type in EDGE_TYPES:
        src, _, dst = edge_type
        ends = [(i, j) for i in range(len(rows[src])) for j in range(len(rows[dst]))]
        assert data[edge_type].edge_index.t().tolist() == [list(pair) for pair in ends]
        left, right = tables.weight[edge_type]
        expected = [float(left[rows[src][i]] @ right[rows[dst][j]]) for i, j in ends]
        assert data[edge_type].edge_weight.tolist() == pytest.approx(expected, abs=1e-6)
    assert (data.mention.tolist(), data.entity.tolist()) == ([mention], [entity])
    assert data[ENTITY_TEXT].num_images.tolist() == [len(rows[ENTITY_IMAGE])]
    assert 'y' not in data


def test_a_missing_image_is_an_empty_store(world):
    data = pair_graph(world.tables, 1, 2)
    assert data[MENTION_IMAGE].x.shape == (0, 5)
    assert data[ENTITY_IMAGE].x.shape == (0, 3)
    for edge_type in EDGE_TYPES[1:]:
        assert data[edge_type].edge_index.shape == (2, 0)
        assert data[edge_type].edge_index.dtype == torch.long
        assert data[edge_type].edge_weight.shape == (0,)
    validate(data)


def test_pair_graph_is_a_mention_graph_of_one_candidate(world):
    assert_same_graph(pair_graph(world.tables, 3, 5, y=True), mention_graph(world.tables, 3, [5], y=[True]))


def test_mention_graph_shares_the_mention(world):
    data = mention_graph(world.tables, 3, [5, 4, 5], y=[True, False, True])
    assert data[MENTION_TEXT].num_nodes == 1
    assert data[MENTION_IMAGE].num_nodes == 3
    assert data[ENTITY_TEXT].x.equal(world.tables.x[ENTITY_TEXT][[5, 4, 5]])
    assert data[ENTITY_TEXT].num_images.tolist() == [3, 0, 3]
    assert data[EDGE_TYPES[3]].num_edges == 3 * 6
    assert data.mention.tolist() == [3, 3, 3]
    assert data.y.tolist() == [True, False, True]
    validate(data)


def test_mention_graph_of_no_candidates(world):
    data = mention_graph(world.tables, 0, [])
    assert data[ENTITY_TEXT].x.shape == (0, 6)
    assert data.entity.shape == data[ENTITY_TEXT].num_images.shape == (0,)
    assert all(data[edge_type].edge_index.shape == (2, 0) for edge_type in EDGE_TYPES)
    validate(data)


def test_given_weights_are_used(single_world):
    weight = {EDGE_TYPES[3]: torch.tensor([0.1, 0.2, 0.3])}
    # Entity 2 has no image, so its number is unused.
    data = mention_graph(single_world.tables, 0, [0, 2, 5], weight=weight)
    torch.testing.assert_close(data[EDGE_TYPES[3]].edge_weight, torch.tensor([0.1, 0.3]))
    plain = mention_graph(single_world.tables, 0, [0, 2, 5])
    assert data[EDGE_TYPES[0]].edge_weight.equal(plain[EDGE_TYPES[0]].edge_weight)


@pytest.mark.parametrize(('mention', 'entity'), [(3, 0), (0, 5)])
def test_given_weights_and_several_images_are_refused(world, mention, entity):
    weight = {EDGE_TYPES[3]: torch.tensor([0.1])}
    with pytest.raises(ValueError, match=r'image_image.*several images'):
        pair_graph(world.tables, mention, entity, weight=weight)


@pytest.mark.parametrize('bad', [-1, 6])
def test_missing_mention_is_named(world, bad):
    with pytest.raises(IndexError, match=f'no mention {bad}; the tables hold mention rows 0 to 5'):
        pair_graph(world.tables, bad, 0)


@pytest.mark.parametrize('bad', [-1, 8])
def test_missing_entity_is_named(world, bad):
    with pytest.raises(IndexError, match=f'no entity {bad}; the tables hold entity rows 0 to 7'):
        mention_graph(world.tables, 0, [0, bad])
