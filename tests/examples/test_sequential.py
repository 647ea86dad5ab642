import sequential
from compose import graph_args, make_graph

from tests.examples.gradients import unreached


def test_it_learns_from_the_graph():
    accuracy = sequential.run()
    assert accuracy['Sequential of two DRINConv'] > 0.6
    assert accuracy['Sequential of two DRINConv'] > accuracy['features alone'] + 0.08


def test_every_parameter_is_read():
    data = make_graph()
    assert unreached(sequential.make_model(num_layers=3), graph_args(data), data['user'].y) == set()
