import compose

from tests.examples.gradients import unreached


def test_it_learns_and_its_edge_weights_count(capsys, monkeypatch):
    accuracy = compose.run()
    assert accuracy['dynamic layers'] > 0.68
    assert accuracy['dynamic layers'] > accuracy['dynamic layers, weights hidden'] + 0.1
    assert accuracy['dynamic layers'] > accuracy['most frequent taste'] + 0.1
    monkeypatch.setattr(compose, 'run', lambda: accuracy)
    compose.show(compose.run())
    assert f"dynamic layers                  {accuracy['dynamic layers']:.2f}\n" in capsys.readouterr().out


def test_every_parameter_is_read():
    data = compose.make_graph()
    assert unreached(compose.DynamicNet(data.metadata()), compose.graph_args(data), data['user'].y) == set()
