import sys
from pathlib import Path

import pytest
import torch
from torch_geometric import EdgeIndex
from torch_geometric.explain import Explainer, GNNExplainer
from torch_geometric.explain.algorithm.utils import clear_masks, set_masks
from torch_geometric.nn import HeteroConv, Sequential, to_hetero

from drin_pyg.nn import RelationConv
from tests.nn.reference import weighted_mean

# Source 1 sends nothing, destinations 2 and 4 receive nothing; unsorted, and one edge occurs twice.
EDGE_INDEX = torch.tensor([[3, 0, 0, 2, 3, 0], [1, 3, 0, 0, 1, 1]])
NUM_SRC, NUM_DST, CHANNELS = 4, 5, 3
FLOWS = ['source_to_target', 'target_to_source']


def make(vector=False, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    x_src = torch.randn(NUM_SRC, CHANNELS, dtype=dtype, generator=generator)
    x_dst = torch.randn(NUM_DST, CHANNELS, dtype=dtype, generator=generator)
    size = (EDGE_INDEX.size(1), CHANNELS) if vector else (EDGE_INDEX.size(1),)
    return x_src, x_dst, torch.randn(size, dtype=dtype, generator=generator)


def assert_close(actual, expected):
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-12)


def test_pyg_renders_its_templates():
    # Without them PyG silently takes a slower path that ignores `size`.
    assert RelationConv.propagate.__module__.endswith('_propagate')
    assert RelationConv.edge_updater.__module__.endswith('_edge_updater')
    conv = RelationConv()
    assert type(conv).propagate.__module__.endswith('RelationConv_propagate')
    assert type(conv).edge_updater.__module__.endswith('RelationConv_edge_updater')


@pytest.mark.parametrize('fuse', [True, False])
@pytest.mark.parametrize('vector', [False, True])
@pytest.mark.parametrize('flow', FLOWS)
@pytest.mark.parametrize('aggr', ['mean', 'sum'])
def test_equals_loops(aggr, flow, vector, fuse):
    x_src, x_dst, weight = make(vector)
    conv = RelationConv(aggr, flow=flow)
    conv.fuse = fuse
    expected = weighted_mean(x_src, x_dst, EDGE_INDEX, weight, flow, aggr)
    assert_close(conv((x_src, x_dst), EDGE_INDEX, weight), expected)


@pytest.mark.parametrize('aggr', ['mean', 'sum'])
@pytest.mark.parametrize('flow', FLOWS)
def test_fused_and_message_path_have_the_same_gradient(flow, aggr):
    x_src, x_dst, weight = make()
    sender = (x_src if flow == 'source_to_target' else x_dst).requires_grad_()
    weight.requires_grad_()
    grads = []
    for fuse in (True, False):
        conv = RelationConv(aggr, flow=flow)
        conv.fuse = fuse
        out = conv((x_src, x_dst), EDGE_INDEX, weight)
        grads.append(torch.autograd.grad(out.sin().sum(), (sender, weight)))
    assert_close(grads[0], grads[1])


def test_the_fused_path_makes_no_messages(monkeypatch):
    x_src, x_dst, weight = make()
    conv = RelationConv()
    monkeypatch.setattr(conv, 'message', None)
    assert conv((x_src, x_dst), EDGE_INDEX, weight).shape == (NUM_DST, CHANNELS)


def test_one_tensor_for_both_ends():
    x, _, weight = make()
    edge_index = EDGE_INDEX.clamp(max=3)
    assert_close(RelationConv()(x, edge_index, weight), weighted_mean(x, x, edge_index, weight))


@pytest.mark.parametrize('aggr', ['mean', 'sum'])
def test_flipped_call_is_the_other_flow(aggr):
    x_src, x_dst, weight = make()
    other = RelationConv(aggr, flow='target_to_source')((x_src, x_dst), EDGE_INDEX, weight)
    flipped = RelationConv(aggr)((x_dst, x_src), EDGE_INDEX.flip([0]), weight)
    assert other.shape == (NUM_SRC, CHANNELS)
    assert_close(flipped, other)


@pytest.mark.parametrize('fuse', [True, False])
def test_no_weights_are_ones(fuse):
    x_src, x_dst, weight = make()
    conv = RelationConv()
    conv.fuse = fuse
    expected = weighted_mean(x_src, x_dst, EDGE_INDEX, torch.ones_like(weight))
    assert_close(conv((x_src, x_dst), EDGE_INDEX), expected)


@pytest.mark.parametrize('fuse', [True, False])
@pytest.mark.parametrize('flow', FLOWS)
def test_receiving_end_may_be_none(flow, fuse):
    x_src, x_dst, weight = make()
    conv = RelationConv(flow=flow)
    conv.fuse = fuse
    ends = (x_src, None) if flow == 'source_to_target' else (None, x_dst)
    out = conv(ends, EDGE_INDEX, weight, size=(NUM_SRC, NUM_DST))
    assert_close(out, weighted_mean(x_src, x_dst, EDGE_INDEX, weight, flow))


@pytest.mark.parametrize('flow', FLOWS)
def test_receiving_end_none_without_size_is_refused(flow):
    # PyG would take the number of senders for it.
    x_src, x_dst, weight = make()
    ends = (x_src, None) if flow == 'source_to_target' else (None, x_dst)
    with pytest.raises(ValueError, match="'size' is"):
        RelationConv(flow=flow)(ends, EDGE_INDEX, weight)


@pytest.mark.parametrize('fuse', [True, False])
@pytest.mark.parametrize('vector', [False, True])
def test_isolated_vertices_get_zeros(vector, fuse):
    x_src, x_dst, weight = make(vector)
    conv = RelationConv()
    conv.fuse = fuse
    out = conv((x_src, x_dst), EDGE_INDEX, weight)
    assert out[[2, 4]].eq(0).all()
    assert out[[0, 1, 3]].ne(0).all()


@pytest.mark.parametrize('fuse', [True, False])
@pytest.mark.parametrize('vector', [False, True])
def test_no_edges_and_no_vertices(vector, fuse):
    x_src, x_dst, weight = make(vector)
    conv = RelationConv()
    conv.fuse = fuse
    assert conv((x_src, x_dst), EDGE_INDEX[:, :0], weight[:0]).equal(torch.zeros_like(x_dst))
    assert conv((x_src[:0], x_dst), EDGE_INDEX[:, :0], weight[:0]).equal(torch.zeros_like(x_dst))
    assert conv((x_src, x_dst[:0]), EDGE_INDEX[:, :0], weight[:0]).shape == (0, CHANNELS)


@pytest.mark.parametrize('vector', [False, True])
@pytest.mark.parametrize('flow', FLOWS)
@pytest.mark.parametrize('sort_order', ['row', 'col', None])
def test_edge_index_equals_tensor(sort_order, flow, vector):
    x_src, x_dst, weight = make(vector)
    order = torch.arange(6) if sort_order is None else EDGE_INDEX[0 if sort_order == 'row' else 1].argsort(stable=True)
    tensor, weight = EDGE_INDEX[:, order], weight[order]
    edge_index = EdgeIndex(tensor, sparse_size=(NUM_SRC, NUM_DST), sort_order=sort_order)
    conv = RelationConv(flow=flow)
    assert_close(conv((x_src, x_dst), edge_index, weight), conv((x_src, x_dst), tensor, weight))
    flipped = conv((x_dst, x_src), edge_index.flip([0]), weight)
    assert_close(flipped, conv((x_dst, x_src), tensor.flip([0]), weight))
    assert type(flipped) is torch.Tensor


def test_edges_given_as_pairs_turned_round():
    # `torch.tensor(pairs).t()` is how edges are often written; its rows are not contiguous.
    x_src, x_dst, weight = make()
    edge_index = EDGE_INDEX[:, EDGE_INDEX[1].argsort(stable=True)]
    pairs = torch.tensor(edge_index.t().tolist())
    assert not pairs.t()[0].is_contiguous()
    assert_close(RelationConv()((x_src, x_dst), pairs.t(), weight), RelationConv()((x_src, x_dst), edge_index, weight))


@pytest.mark.parametrize('layout', ['to_sparse_csr', 'to_sparse_coo'])
def test_sparse_matrix_is_refused(layout):
    x, _, _ = make()
    matrix = getattr(torch.eye(4), layout)()
    with pytest.raises(ValueError, match=r"'RelationConv' takes 'edge_index' as a \[2, E\] tensor.*to_edge_index"):
        RelationConv()(x, matrix)


def test_unknown_aggregation_is_refused():
    with pytest.raises(ValueError, match="'aggr' must be 'mean' or 'sum', got 'max'"):
        RelationConv('max')


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_mean_of_many_neighbours_in_half_precision(dtype):
    # Neither the sum nor the count may be a running sum in bfloat16, which stops at 256.
    edge_index = torch.stack([torch.arange(3000), torch.zeros(3000, dtype=torch.long)])
    out = RelationConv()((torch.ones(3000, 2, dtype=dtype), None), edge_index, torch.ones(3000, dtype=dtype),
                         size=(3000, 1))
    assert out.dtype == dtype
    torch.testing.assert_close(out.float(), torch.ones(1, 2), rtol=1e-2, atol=0)


# Edge rule ###########################################################################################################


def edge_rule_loop(edge_index, weight, query, key, offset):
    out = []
    for e, (i, j) in enumerate(edge_index.t().tolist()):
        if weight.dim() == 2:
            out.append(torch.stack([torch.sigmoid(weight[e, k] + query[i, k] + key[j, k]) for k in range(CHANNELS)]))
        else:
            logit = weight[e] + sum(query[i, k] * key[j, k] for k in range(CHANNELS))
            out.append(torch.sigmoid(logit if offset is None else logit + offset[i]))
    return torch.stack(out)


@pytest.mark.parametrize('vector', [False, True])
@pytest.mark.parametrize('flow', FLOWS)
def test_edge_rule_equals_loops(flow, vector):
    query, key, weight = make(vector)
    conv = RelationConv(flow=flow)  # the rule speaks of source and destination, whatever the flow
    out = conv.edge_updater(EDGE_INDEX, edge_weight=weight, query=query, key=key, offset=None)
    assert_close(out, edge_rule_loop(EDGE_INDEX, weight, query, key, None))


def test_edge_rule_adds_the_offset_of_the_source():
    query, key, weight = make()
    offset = torch.tensor([1., -1., 0.5, 2.], dtype=torch.float64)
    out = RelationConv().edge_updater(EDGE_INDEX, edge_weight=weight, query=query, key=key, offset=offset)
    assert_close(out, edge_rule_loop(EDGE_INDEX, weight, query, key, offset))


@pytest.mark.parametrize('sort_order', ['row', 'col'])
def test_edge_rule_takes_edge_index(sort_order):
    query, key, weight = make()
    tensor = EDGE_INDEX[:, EDGE_INDEX[0 if sort_order == 'row' else 1].argsort(stable=True)]
    edge_index = EdgeIndex(tensor, sparse_size=(NUM_SRC, NUM_DST), sort_order=sort_order)
    out = RelationConv().edge_updater(edge_index, edge_weight=weight, query=query, key=key, offset=None)
    assert_close(out, edge_rule_loop(tensor, weight, query, key, None))


@pytest.mark.parametrize('vector', [False, True])
def test_edge_rule_without_edges(vector):
    query, key, weight = make(vector)
    out = RelationConv().edge_updater(EDGE_INDEX[:, :0], edge_weight=weight[:0], query=query, key=key, offset=None)
    assert out.shape == weight[:0].shape


# Inside PyG ##########################################################################################################


@pytest.mark.parametrize('vector', [False, True])
@pytest.mark.parametrize('flow', FLOWS)
def test_explanation_mask_multiplies_the_messages(flow, vector):
    x_src, x_dst, weight = make(vector)
    conv = RelationConv(flow=flow)
    mask = torch.tensor([1., 0., 0.5, 0.2, 0.9, 0.]).double()
    set_masks(conv, mask, EDGE_INDEX, apply_sigmoid=False)
    masked = weight * (mask.unsqueeze(-1) if vector else mask)
    assert_close(conv((x_src, x_dst), EDGE_INDEX, weight), weighted_mean(x_src, x_dst, EDGE_INDEX, masked, flow))
    clear_masks(conv)
    assert_close(conv((x_src, x_dst), EDGE_INDEX, weight), weighted_mean(x_src, x_dst, EDGE_INDEX, weight, flow))


def test_gnn_explainer_finds_the_edge_that_matters():
    # Vertex 0 listens to vertices 1 and 2; the target reads the first feature, which only vertex 1 has.
    torch.manual_seed(0)
    x = torch.tensor([[0., 0.], [3., 0.], [0., 3.]])
    edge_index = torch.tensor([[1, 2], [0, 0]])

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = RelationConv()

        def forward(self, x, edge_index):
            return self.conv(x, edge_index)[:, :1]

    explainer = Explainer(Model(), GNNExplainer(epochs=50, lr=0.1), 'model', edge_mask_type='object',
                          model_config={'mode': 'regression', 'task_level': 'node', 'return_type': 'raw'})
    mask = explainer(x, edge_index, index=0).edge_mask
    assert mask[0] > mask[1]


def test_inside_hetero_conv():
    x_src, x_dst, weight = make()
    there, back = ('a', 'to', 'b'), ('b', 'back', 'a')
    conv = HeteroConv({there: RelationConv(), back: RelationConv('sum')})
    out = conv({'a': x_src, 'b': x_dst}, {there: EDGE_INDEX, back: EDGE_INDEX.flip([0])},
               edge_weight_dict={there: weight, back: weight})
    assert_close(out['b'], weighted_mean(x_src, x_dst, EDGE_INDEX, weight))
    assert_close(out['a'], weighted_mean(x_src, x_dst, EDGE_INDEX, weight, 'target_to_source', 'sum'))


def test_inside_to_hetero():
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = RelationConv()

        def forward(self, x, edge_index, edge_weight):
            return self.conv(x, edge_index, edge_weight).sin()

    x_src, x_dst, weight = make()
    there, back = ('a', 'to', 'b'), ('b', 'back', 'a')
    model = to_hetero(Model(), (['a', 'b'], [there, back]))
    out = model({'a': x_src, 'b': x_dst}, {there: EDGE_INDEX, back: EDGE_INDEX.flip([0])},
                {there: weight, back: weight})
    assert_close(out['b'], weighted_mean(x_src, x_dst, EDGE_INDEX, weight).sin())
    assert_close(out['a'], weighted_mean(x_src, x_dst, EDGE_INDEX, weight, 'target_to_source').sin())


def test_inside_sequential(monkeypatch):
    # PyG imports the caller by its bare name; if that fails, it runs the code of another model, and says nothing.
    monkeypatch.setitem(sys.modules, Path(__file__).stem, sys.modules[__name__])
    x, _, weight = make()
    edge_index = EDGE_INDEX.clamp(max=3)
    model = Sequential('x, edge_index, edge_weight', [
        (RelationConv(), 'x, edge_index, edge_weight -> x'),
        torch.nn.Tanh(),
        (RelationConv('sum'), 'x, edge_index, edge_weight -> x'),
    ])
    assert 'forward' in vars(model)  # code of its own
    hidden = weighted_mean(x, x, edge_index, weight).tanh()
    assert_close(model(x, edge_index, weight), weighted_mean(hidden, hidden, edge_index, weight, aggr='sum'))


def test_compiles_to_one_graph():
    x_src, x_dst, weight = make()
    conv = RelationConv()
    compiled = torch.compile(conv, fullgraph=True)
    inputs = (x_src.requires_grad_(), weight.requires_grad_())
    out, expected = (f((x_src, x_dst), EDGE_INDEX, weight) for f in (compiled, conv))
    assert_close(out, expected)
    assert_close(torch.autograd.grad(out.sin().sum(), inputs), torch.autograd.grad(expected.sin().sum(), inputs))


def test_has_no_parameters_and_says_what_it_is():
    conv = RelationConv('sum', flow='target_to_source')
    assert list(conv.parameters()) == []
    assert conv.flow == 'target_to_source'
    assert str(conv) == 'RelationConv()'
