import hgt_sandwich
from compose import add_reverse, graph_args, make_graph

from tests.examples.gradients import unreached


def test_the_layer_in_the_middle_makes_weights_count():
    accuracy = hgt_sandwich.run()
    assert accuracy['HGT, DRINConv, HGT'] > 0.8
    assert accuracy['HGT, DRINConv, HGT'] > accuracy['HGT, HGT, HGT'] + 0.2


def test_gradients_pass_through_the_layer():
    data = add_reverse(make_graph())
    found = unreached(hgt_sandwich.Sandwich(weighted=True), graph_args(data), data['user'].y)
    assert not {name for name in found if name.startswith(('middle', 'encoders', 'lin'))}
    # The first layer is reached through the middle one alone; its HGT has a map for keys without a source of its own.
    assert not {name for name in found if name.startswith('first.kqv_lin')}
