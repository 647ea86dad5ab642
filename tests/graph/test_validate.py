import pytest

from drin_pyg.graph import candidate_batch, mention_graph, validate
from drin_pyg.vocabulary import EDGE_TYPES, ENTITY_TEXT, MENTION_IMAGE, NODE_TYPES
from tests.world import WIDTHS

nodes = pytest.mark.parametrize('node_type', NODE_TYPES)
edges = pytest.mark.parametrize('edge_type', EDGE_TYPES)


@pytest.fixture
def data(world):
    return mention_graph(world.tables, 3, [5, 0])


def test_returns_the_graph_itself(data):
    assert validate(data) is data
    assert validate(data, WIDTHS) is data


def test_unknown_widths_are_not_compared(data):
    assert validate(data, {ENTITY_TEXT: 6, MENTION_IMAGE: -1}) is data


@nodes
def test_missing_node_store_is_named(data, node_type):
    del data[node_type]
    with pytest.raises(ValueError, match=rf"lacks the node store '{node_type}'.*\[0, F\]"):
        validate(data)


@nodes
def test_missing_features_are_named(data, node_type):
    del data[node_type].x
    with pytest.raises(ValueError, match=f"lacks the node store '{node_type}' or its 'x'"):
        validate(data)


@edges
def test_missing_edge_store_is_named(data, edge_type):
    del data[edge_type]
    with pytest.raises(ValueError, match=rf"lacks the edge store .*'{edge_type[1]}'.*\[2, 0\]"):
        validate(data)


@edges
@pytest.mark.parametrize('key', ['edge_index', 'edge_weight'])
def test_missing_edge_field_is_named(data, edge_type, key):
    del data[edge_type][key]
    with pytest.raises(ValueError, match=f"lacks the edge store .*'{edge_type[1]}'.* or its '{key}'"):
        validate(data)


@nodes
def test_wrong_width_is_named(data, node_type):
    with pytest.raises(ValueError, match=rf"data\['{node_type}'\].x is . wide, but the model expects 7"):
        validate(data, {**WIDTHS, node_type: 7})


@nodes
@pytest.mark.parametrize('spoil', [lambda x: x.long(), lambda x: x[:, 0]], ids=['integers', 'one dimension'])
def test_features_of_a_wrong_form_are_named(data, node_type, spoil):
    data[node_type].x = spoil(data[node_type].x)
    with pytest.raises(ValueError, match=rf"data\['{node_type}'\].x must be a float tensor \[N, F\]"):
        validate(data)


@nodes
@pytest.mark.parametrize('bad', [float('nan'), float('inf')])
def test_features_that_are_not_finite_are_named(data, node_type, bad):
    data[node_type].x[-1, 1] = bad
    with pytest.raises(ValueError, match=rf"data\['{node_type}'\].x holds NaN or infinite values in 1 row"):
        validate(data)


@edges
def test_weights_that_are_not_finite_are_named(data, edge_type):
    data[edge_type].edge_weight[1] = float('nan')
    with pytest.raises(ValueError, match=f"'{edge_type[1]}'.*edge_weight holds NaN.*the first is row 1"):
        validate(data)


@edges
@pytest.mark.parametrize('side', [0, 1])
@pytest.mark.parametrize('bad', [-1, 99])
def test_edge_to_a_missing_vertex_is_named(data, edge_type, side, bad):
    data[edge_type].edge_index[side, 1] = bad
    with pytest.raises(ValueError, match=rf"'{edge_type[1]}'.*edge_index\[{side}\] points at row {bad} of "
                                         rf"'{edge_type[2 * side]}'"):
        validate(data)


@edges
@pytest.mark.parametrize('spoil', [lambda index: index.int(), lambda index: index.t(), lambda index: index[0]],
                         ids=['int32', 'pairs', 'one row'])
def test_edge_index_of_a_wrong_form_is_named(world, edge_type, spoil):
    data = mention_graph(world.tables, 3, [5, 0, 1])  # at least three edges of each type: [E, 2] is not [2, E]
    data[edge_type].edge_index = spoil(data[edge_type].edge_index)
    with pytest.raises(ValueError, match=rf"'{edge_type[1]}'.*edge_index must be int64 \[2, E\]"):
        validate(data)


@edges
@pytest.mark.parametrize('spoil', [lambda weight: weight[1:], lambda weight: weight.long(), lambda weight: weight[0]],
                         ids=['short', 'integers', 'one number'])
def test_edge_weight_of_a_wrong_form_is_named(data, edge_type, spoil):
    data[edge_type].edge_weight = spoil(data[edge_type].edge_weight)
    with pytest.raises(ValueError, match=f"'{edge_type[1]}'.*edge_weight must be one float for each"):
        validate(data)


@nodes
@pytest.mark.parametrize('bad', [-1, 99])
def test_row_of_a_compact_batch_out_of_range_is_named(world, node_type, bad):
    batch = candidate_batch(world.tables, world.candidates, compact=True)
    batch[node_type].row[2] = bad
    with pytest.raises(ValueError, match=rf"data\['{node_type}'\].row points at row {bad} of '{node_type}'"):
        validate(batch)
