import compile_models
import pytest
import torch
from compose import add_reverse, graph_args, make_graph
from hetero_conv import HeteroNet
from hgt_sandwich import Sandwich
from sequential import make_model


@pytest.mark.parametrize(('build', 'backend'), [
    (make_model, 'aot_eager'),
    (lambda: HeteroNet(weighted=True), 'aot_eager'),
    (lambda: Sandwich(weighted=True), 'eager'),
], ids=['sequential', 'hetero_conv', 'hgt_sandwich'])
@pytest.mark.filterwarnings('ignore::UserWarning', 'ignore::DeprecationWarning', 'ignore::FutureWarning')
def test_compiled_models_give_the_same(build, backend):
    args = graph_args(add_reverse(make_graph()))
    torch.manual_seed(0)
    model = build()
    model(*args)
    found = compile_models.compare(model, args, backend)
    assert found['graphs'] == 1
    assert found['output'] < 1e-5
    assert found['gradient'] < 1e-5


def test_a_graph_break_is_not_passed_over():
    class Broken(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = make_model()

        def forward(self, *args):
            out = self.model(*args)
            torch._dynamo.graph_break()
            return out + 1

    with pytest.raises(torch._dynamo.exc.TorchDynamoException, match='graph_break'):
        compile_models.compare(Broken(), graph_args(make_graph()), 'eager')
