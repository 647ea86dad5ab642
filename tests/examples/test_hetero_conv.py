import hetero_conv
from compose import add_reverse, graph_args, make_graph

from tests.examples.gradients import unreached


def test_weights_of_each_relation_count():
    accuracy = hetero_conv.run()
    assert accuracy['HeteroConv of RelationConv'] > 0.7
    assert accuracy['HeteroConv of RelationConv'] > accuracy['HeteroConv of SAGEConv'] + 0.1


def test_every_parameter_is_read():
    data = add_reverse(make_graph())
    assert unreached(hetero_conv.HeteroNet(weighted=True), graph_args(data), data['user'].y) == set()
