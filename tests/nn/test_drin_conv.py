import itertools
import os
import subprocess
import sys

import pytest
import torch
from torch_geometric import EdgeIndex
from torch_geometric.explain.algorithm.utils import clear_masks, set_hetero_masks
from torch_geometric.nn.conv import MessagePassing

from drin_pyg.nn import DRINConv
from drin_pyg.vocabulary import (
    EDGE_TYPES,
    ENTITY_IMAGE,
    ENTITY_TEXT,
    MENTION_IMAGE,
    MENTION_TEXT,
    NODE_TYPES,
    TEXT_IMAGE,
    TEXT_TEXT,
)
from tests.nn.problems import PROBLEMS, USER_ITEM, pair_problem
from tests.nn.reference import drin_layer

D, OUT = 4, 6

# What a layer may be asked to compute: everything, or what the score of a last layer reads, and so on.
OUTPUTS = {
    'pair': {
        'all': {},
        'last layer': {'out_node_types': [MENTION_TEXT, ENTITY_TEXT], 'out_edge_types': []},
        'one of each': {'out_node_types': [ENTITY_IMAGE], 'out_edge_types': [TEXT_IMAGE]},
        'edges only': {'out_node_types': []},
    },
    'user_item': {
        'all': {},
        'last layer': {'out_node_types': ['user', 'item'], 'out_edge_types': []},
        'one of each': {'out_node_types': ['user'], 'out_edge_types': [('user', 'follows', 'user')]},
        'edges only': {'out_node_types': []},
    },
}
CONFIGURATIONS = [
    pytest.param(problem, outputs, {'shared': shared, 'dynamic': dynamic, 'edge_dim': edge_dim},
                 id=f'{problem}-{outputs}-{"shared" if shared else "per type"}-{"dynamic" if dynamic else "static"}-'
                    f'{"vector" if edge_dim else "scalar"}')
    for problem, shared, dynamic, edge_dim in itertools.product(PROBLEMS, (True, False), (True, False), (None, D))
    for outputs in OUTPUTS[problem]
    if dynamic or outputs != 'edges only'  # a static layer without vertices computes nothing
]
configurations = pytest.mark.parametrize(('name', 'outputs', 'kwargs'), CONFIGURATIONS)


def make(name='pair', outputs='all', metadata=None, **kwargs):
    """A float64 layer with no parameter left at its initial 0 or 1, and a problem for it."""
    torch.manual_seed(0)
    problem = PROBLEMS[name](D, kwargs.get('edge_dim'))
    conv = DRINConv(D, OUT, metadata or problem.metadata, **OUTPUTS[name][outputs], **kwargs).double()
    with torch.no_grad():
        for parameter in conv.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return conv, problem


def flat(output):
    x_dict, edge_weight_dict = output
    return [*x_dict.values(), *edge_weight_dict.values()]


def gradients(output, inputs):
    """Gradient of a random combination of all outputs; zeros for inputs that no output reads."""
    generator = torch.Generator().manual_seed(3)
    loss = sum((out * torch.randn(out.shape, dtype=torch.float64, generator=generator)).sum() for out in flat(output))
    return torch.autograd.grad(loss, inputs, allow_unused=True, materialize_grads=True)


def assert_same(actual, expected, atol=1e-12):
    assert [list(part) for part in actual] == [list(part) for part in expected]  # the same keys
    for out, want in zip(flat(actual), flat(expected), strict=True):
        torch.testing.assert_close(out, want, rtol=0, atol=atol)


@configurations
def test_equals_loops(name, outputs, kwargs):
    conv, problem = make(name, outputs, **kwargs)
    assert_same(conv(*problem.args), drin_layer(conv, *problem.args))


@configurations
def test_gradients_equal_loops(name, outputs, kwargs):
    conv, problem = make(name, outputs, **kwargs)
    inputs = [*problem.inputs, *conv.parameters()]
    grads = gradients(conv(*problem.args), inputs)
    expected = gradients(drin_layer(conv, *problem.args), inputs)
    assert any(want.any() for want in expected)
    for grad, want in zip(grads, expected, strict=True):
        torch.testing.assert_close(grad, want, rtol=0, atol=1e-11)


@configurations
@pytest.mark.parametrize('rows', [False, True])
def test_relations_added_up_at_once_or_one_by_one(name, outputs, kwargs, rows):
    # One by one is what explainers and `fuse = False` ask for.
    conv, problem = make(name, outputs, **kwargs)
    rows = {t: torch.arange(x.size(0)) // 2 for t, x in problem.x.items()} if rows else None
    inputs = [*problem.inputs, *conv.parameters()]
    outputs, grads = [], []
    for fuse in (True, False):
        for relation in conv.convs.values():
            relation.fuse = fuse
        outputs.append(conv(*problem.args, rows))
        grads.append(gradients(outputs[-1], inputs))
    assert_same(*outputs)
    for grad, want in zip(*grads, strict=True):
        torch.testing.assert_close(grad, want, rtol=0, atol=1e-11)


@configurations
def test_every_parameter_is_read(name, outputs, kwargs):
    # A parameter that no output reads breaks DDP and explainers.
    conv, problem = make(name, outputs, **kwargs)
    grads = gradients(conv(*problem.args), list(conv.parameters()))
    names = [key for key, _ in conv.named_parameters()]
    assert [key for key, grad in zip(names, grads, strict=True) if not grad.any()] == []


@pytest.mark.parametrize(('name', 'outputs', 'kwargs'), [
    param for param in CONFIGURATIONS if param.values[1] in ('all', 'one of each') and param.values[2]['dynamic']])
def test_rows_equal_expanded_vertices(name, outputs, kwargs):
    # Value and gradient, with rows that are repeated, out of order, and one that is never used.
    conv, problem = make(name, outputs, **kwargs)
    rows = {t: (torch.arange(x.size(0)) * 3 + 1) % max(x.size(0) - 1, 1) for t, x in problem.x.items()}
    edges = (problem.edge_index, problem.edge_weight)
    compact = conv(problem.x, *edges, rows)
    expanded = conv({t: x[rows[t]] for t, x in problem.x.items()}, *edges)
    assert_same(compact, expanded)
    inputs = [*problem.inputs, *conv.parameters()]
    for grad, want in zip(gradients(compact, inputs), gradients(expanded, inputs), strict=True):
        torch.testing.assert_close(grad, want, rtol=0, atol=1e-11)


@pytest.mark.parametrize('edge_dim', [None, D])
def test_rows_may_be_fewer_or_more_than_vertices(edge_dim):
    conv, problem = make(edge_dim=edge_dim)
    x = {t: torch.randn(size, D).double() for t, size in zip(NODE_TYPES, (2, 9, 1, 7), strict=True)}
    rows = {t: torch.arange(problem.x[t].size(0)) % x[t].size(0) for t in NODE_TYPES}
    edges = (problem.edge_index, problem.edge_weight)
    assert_same(conv(x, *edges, rows), drin_layer(conv, {t: x[t][rows[t]] for t in x}, *edges))


@pytest.mark.parametrize('left_out', EDGE_TYPES)
def test_relation_left_out_of_the_metadata_is_switched_off(left_out):
    # Its edges may stay in the graph; the layer is that of a graph whose edges of the relation weigh 0 ...
    conv, problem = make(metadata=(NODE_TYPES, [t for t in EDGE_TYPES if t != left_out]))
    x_dict, edge_weight_dict = conv(*problem.args)
    assert_same((x_dict, edge_weight_dict), drin_layer(conv, *problem.args))
    # ... and does not update them.
    assert left_out not in edge_weight_dict
    full, _ = make()
    full.load_state_dict(conv.state_dict())
    weights = {**problem.edge_weight, left_out: torch.zeros_like(problem.edge_weight[left_out])}
    for node_type, x in full(problem.x, problem.edge_index, weights)[0].items():
        torch.testing.assert_close(x_dict[node_type], x, rtol=0, atol=1e-12)


def test_node_type_that_no_relation_touches():
    conv, problem = make(metadata=(NODE_TYPES, [TEXT_TEXT]))
    rows = {t: torch.arange(x.size(0)) for t, x in problem.x.items()}
    assert_same(conv(*problem.args), drin_layer(conv, *problem.args))
    assert_same(conv(*problem.args, rows), drin_layer(conv, *problem.args))


def test_static_layer_returns_its_weights():
    conv, problem = make(dynamic=False)
    assert all(weight is problem.edge_weight[t] for t, weight in conv(*problem.args)[1].items())
    assert 'edge_rules' not in ' '.join(conv.state_dict())


def test_both_rules_read_the_inputs():
    # Nothing of a layer may see what the layer just computed.
    conv, problem = make()
    x_only, _ = conv(*problem.args)
    for rule in conv.edge_rules.values():
        torch.nn.init.zeros_(rule.lin_u.weight)
    for node_type, x in conv(*problem.args)[0].items():
        assert x.equal(x_only[node_type])


def test_inputs_are_not_changed():
    conv, problem = make()
    before = [tensor.detach().clone() for tensor in problem.inputs]
    conv(*problem.args)
    assert all(tensor.equal(copy) for tensor, copy in zip(problem.inputs, before, strict=True))


# Parameters ##########################################################################################################


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def test_number_of_parameters():
    vertex = D * OUT + OUT + 2 * OUT  # W_h, b_h, LayerNorm
    edge = 2 * (D * D + D)            # W_u, b_u, W_v, b_v
    assert count(DRINConv(D, OUT)) == vertex + edge
    assert count(DRINConv(D, OUT, shared=False)) == 4 * vertex + 4 * edge
    assert count(DRINConv(D, OUT, dynamic=False)) == vertex
    assert count(DRINConv(D, OUT, edge_dim=D)) == vertex + edge // 2 + D * D + D
    assert count(DRINConv(D, OUT, shared=False, out_node_types=[ENTITY_TEXT],
                          out_edge_types=[TEXT_TEXT, TEXT_IMAGE])) == vertex + 2 * edge


@pytest.mark.parametrize('shared', [True, False])
def test_reset_parameters_is_a_function_of_the_seed(shared):
    conv = DRINConv(D, OUT, shared=shared)
    states = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        conv.reset_parameters()
        states.append({key: value.clone() for key, value in conv.state_dict().items()})
    assert all(states[0][key].equal(states[1][key]) for key in states[0])
    assert [key for key in states[0] if states[0][key].equal(states[2][key]) and not key.startswith('norms')] == []


@pytest.mark.parametrize('shared', [True, False])
@pytest.mark.parametrize('name', PROBLEMS)
def test_state_dict_round_trip(name, shared, tmp_path):
    conv, problem = make(name, shared=shared)
    torch.save(conv.state_dict(), tmp_path / 'conv.pt')
    other = DRINConv(D, OUT, problem.metadata, shared=shared).double()
    other.load_state_dict(torch.load(tmp_path / 'conv.pt', weights_only=True))
    for out, want in zip(flat(other(*problem.args)), flat(conv(*problem.args)), strict=True):
        assert out.equal(want)


def test_constructor_values_are_kept():
    conv = DRINConv(D, D, USER_ITEM, dynamic=False, edge_dim=D, shared=False, out_node_types=['tag'],
                    out_edge_types=[['user', 'rates', 'item']])
    assert (conv.in_channels, conv.out_channels, conv.metadata, conv.dynamic) == (D, D, USER_ITEM, False)
    assert (conv.edge_dim, conv.shared, conv.out_node_types) == (D, False, ['tag'])
    assert conv.out_edge_types == [('user', 'rates', 'item')]


def test_repr():
    assert str(DRINConv(4, 6)) == 'DRINConv(4, 6, relations=4, dynamic=True)'
    assert str(DRINConv(4, 6, USER_ITEM, dynamic=False)) == 'DRINConv(4, 6, relations=3, dynamic=False)'


# Errors ##############################################################################################################


@pytest.mark.parametrize('node_type', NODE_TYPES)
def test_missing_node_type_is_named(node_type):
    conv, problem = make()
    del problem.x[node_type]
    with pytest.raises(KeyError, match=f"'x_dict' lacks node type '{node_type}'.*shape .0, {D}."):
        conv(*problem.args)


@pytest.mark.parametrize('edge_type', EDGE_TYPES)
@pytest.mark.parametrize('name', ['edge_index', 'edge_weight'])
def test_missing_edge_type_is_named(name, edge_type):
    conv, problem = make()
    del getattr(problem, name)[edge_type]
    with pytest.raises(KeyError, match=f"'{name}_dict' lacks edge type .*{edge_type[1]}"):
        conv(*problem.args)


@pytest.mark.parametrize('node_type', NODE_TYPES)
def test_wrong_vertex_width_is_named(node_type):
    conv, problem = make()
    problem.x[node_type] = problem.x[node_type][:, 1:]
    with pytest.raises(ValueError, match=f"'{node_type}' have width {D - 1}, and the layer {D}; bring each type"):
        conv(*problem.args)


@pytest.mark.parametrize('edge_type', EDGE_TYPES)
def test_wrong_number_of_weights_is_named(edge_type):
    conv, problem = make()
    count = problem.edge_index[edge_type].size(1)
    problem.edge_weight[edge_type] = problem.edge_weight[edge_type][1:]
    with pytest.raises(ValueError, match=f"'{edge_type[1]}', .* has {count} edges and {count - 1} weights"):
        conv(*problem.args)


@pytest.mark.parametrize('width', [-1, 0])
def test_a_layer_is_not_lazy(width):
    with pytest.raises(ValueError, match=rf'in_channels={width}, out_channels={D}. Bring each type to it'):
        DRINConv(width, D)
    with pytest.raises(ValueError, match=f'out_channels={width}'):
        DRINConv(D, width)


@pytest.mark.parametrize('edge_dim', [1, D - 2, OUT])
def test_wrong_edge_width_is_named(edge_dim):
    with pytest.raises(ValueError, match=f"'edge_dim' must be in_channels={D}, got {edge_dim}"):
        DRINConv(D, OUT, edge_dim=edge_dim)


def test_edge_type_between_unknown_node_types_is_named():
    with pytest.raises(ValueError, match=r"'has', 'tag'\) joins node type 'tag'.*\['user', 'item'\]"):
        DRINConv(D, D, (['user', 'item'], USER_ITEM[1]))


def test_unknown_output_types_are_named():
    with pytest.raises(ValueError, match="Output node type 'tag' is not in the metadata"):
        DRINConv(D, D, out_node_types=['tag'])
    with pytest.raises(ValueError, match=r"Output edge type \('item', 'has', 'tag'\) is not in the metadata"):
        DRINConv(D, D, out_edge_types=[('item', 'has', 'tag')])


# Inside PyG and PyTorch ##############################################################################################


@pytest.mark.parametrize('edge_dim', [None, D])
@pytest.mark.parametrize('sort_order', ['row', 'col', None])
def test_takes_edge_index(sort_order, edge_dim):
    conv, problem = make(edge_dim=edge_dim)
    tensors, indices = {}, {}
    for edge_type, edge_index in problem.edge_index.items():
        order = edge_index[1 if sort_order == 'col' else 0].argsort(stable=True)
        tensors[edge_type] = edge_index[:, order].contiguous()
        size = (problem.x[edge_type[0]].size(0), problem.x[edge_type[2]].size(0))
        indices[edge_type] = EdgeIndex(tensors[edge_type], sparse_size=size, sort_order=sort_order)
    rows = {t: torch.arange(x.size(0)) for t, x in problem.x.items()}
    for extra in ((), (rows,)):
        actual = conv(problem.x, indices, problem.edge_weight, *extra)
        assert_same(actual, conv(problem.x, tensors, problem.edge_weight, *extra))
        assert all(type(out) is torch.Tensor for out in flat(actual))


def test_compiles_to_one_graph():
    # Traced and differentiated; test_relation_conv.py also generates the code, which takes a minute for a layer.
    conv, problem = make()
    compiled = torch.compile(conv, fullgraph=True, backend='aot_eager')
    inputs = [*problem.inputs, *conv.parameters()]
    out, expected = compiled(*problem.args), conv(*problem.args)
    assert_same(out, expected)
    for grad, want in zip(gradients(out, inputs), gradients(expected, inputs), strict=True):
        torch.testing.assert_close(grad, want, rtol=0, atol=1e-11)


def test_rows_trace_to_one_graph():
    conv, problem = make()
    rows = {t: torch.arange(x.size(0)) // 2 for t, x in problem.x.items()}
    compiled = torch.compile(conv, fullgraph=True, backend='eager')
    assert_same(compiled(*problem.args, rows), conv(*problem.args, rows))


@pytest.mark.parametrize('rows', [False, True])
@pytest.mark.parametrize('edge_dim', [None, D])
def test_explanation_masks_reach_every_relation(edge_dim, rows):
    # A mask of an edge multiplies its messages, both ways; the mask of one relation touches that relation alone.
    conv, problem = make(edge_dim=edge_dim)
    args = (*problem.args, {t: torch.arange(x.size(0)) for t, x in problem.x.items()}) if rows else problem.args
    for edge_type in EDGE_TYPES:
        masks = {t: torch.ones(index.size(1)).double() for t, index in problem.edge_index.items()}
        masks[edge_type] = torch.linspace(0, 1, masks[edge_type].numel()).double()
        set_hetero_masks(conv, masks, problem.edge_index, apply_sigmoid=False)
        masked, _ = conv(*args)
        clear_masks(conv)
        weights = {t: w * (masks[t].unsqueeze(-1) if edge_dim else masks[t]) for t, w in problem.edge_weight.items()}
        expected, _ = drin_layer(conv, problem.x, problem.edge_index, weights)
        plain, _ = conv(*args)
        for node_type in NODE_TYPES:
            torch.testing.assert_close(masked[node_type], expected[node_type], rtol=0, atol=1e-12)
            assert masked[node_type].allclose(plain[node_type]) == (node_type not in edge_type)


def test_every_conv_is_found_by_its_edge_type():
    # Explainers look for message passing modules under the edge type in a ModuleDict, and only there.
    conv, _ = make('user_item')
    assert list(conv.convs.keys()) == USER_ITEM[1]
    found = [module for module in conv.modules() if isinstance(module, MessagePassing)]
    assert {id(module) for module in found} == {id(conv.convs[t]) for t in USER_ITEM[1]}
    assert len({id(module) for module in found}) == 3


@pytest.mark.parametrize('rows', [False, True])
@pytest.mark.parametrize('edge_dim', [None, D])
def test_autocast_bfloat16_is_close(edge_dim, rows):
    problem = pair_problem(D, edge_dim, dtype=torch.float32)
    torch.manual_seed(0)
    conv = DRINConv(D, D, edge_dim=edge_dim)
    args = (*problem.args, {t: torch.arange(x.size(0)) for t, x in problem.x.items()}) if rows else problem.args
    with torch.autocast('cpu', dtype=torch.bfloat16):
        out = conv(*args)
        loss = sum(tensor.float().sum() for tensor in flat(out))
    for tensor, want in zip(flat(out), flat(conv(*args)), strict=True):
        torch.testing.assert_close(tensor.float(), want, rtol=0, atol=0.06)
    loss.backward()
    assert all(p.grad.isfinite().all() and p.grad.dtype == torch.float32 for p in conv.parameters())


@pytest.mark.parametrize('edge_dim', [None, D])
def test_bfloat16_layer_stays_bfloat16(edge_dim):
    problem = pair_problem(D, edge_dim, dtype=torch.bfloat16)
    assert {out.dtype for out in flat(DRINConv(D, D, edge_dim=edge_dim).bfloat16()(*problem.args))} == {torch.bfloat16}


# Nothing there #######################################################################################################


@pytest.mark.parametrize('rows', [False, True])
@pytest.mark.parametrize('edge_dim', [None, D])
@pytest.mark.parametrize('empty', [
    [ENTITY_TEXT, ENTITY_IMAGE],                # no candidates
    [MENTION_IMAGE, ENTITY_IMAGE],              # no images
    NODE_TYPES,                                 # no mentions
], ids=['no candidates', 'no images', 'nothing'])
def test_finite_with_nothing_there(empty, edge_dim, rows):
    conv, problem = make(edge_dim=edge_dim)
    for node_type in empty:
        problem.x[node_type] = torch.empty(0, D, dtype=torch.float64, requires_grad=True)
    for edge_type in EDGE_TYPES:
        if edge_type[0] in empty or edge_type[2] in empty:
            problem.edge_index[edge_type] = problem.edge_index[edge_type][:, :0]
            problem.edge_weight[edge_type] = problem.edge_weight[edge_type][:0]
    args = (*problem.args, {t: torch.arange(x.size(0)) for t, x in problem.x.items()}) if rows else problem.args
    out = conv(*args)
    assert_same(out, drin_layer(conv, *problem.args))
    assert all(tensor.isfinite().all() for tensor in flat(out))
    assert all(grad.isfinite().all() for grad in gradients(out, [*problem.inputs, *conv.parameters()]))


def test_candidates_of_another_mention_change_nothing():
    # Vertices see their own graph only: nothing is normalised over the batch.
    conv, problem = make()
    before, _ = conv(*problem.args)
    with torch.no_grad():
        problem.x[ENTITY_TEXT][3:] += 1  # the candidates of mention 2
    after, _ = conv(*problem.args)
    assert after[MENTION_TEXT][:2].equal(before[MENTION_TEXT][:2])
    assert not after[MENTION_TEXT][2].allclose(before[MENTION_TEXT][2])


def test_gradients_are_the_same_in_every_process():
    # Python orders a set of strings differently from process to process; gradients must not add up in such an order.
    code = '\n'.join([
        'import hashlib, sys, torch',
        'from drin_pyg.nn import DRINConv',
        'from drin_pyg.vocabulary import EDGE_TYPES, NODE_TYPES',
        'torch.set_num_threads(1)',
        'torch.manual_seed(0)',
        'conv, edges = DRINConv(16, 16), torch.arange(40).repeat(2, 1)',
        'x = {t: torch.randn(40, 16) for t in NODE_TYPES}',
        'out, _ = conv(x, {e: edges for e in EDGE_TYPES}, {e: torch.rand(40) for e in EDGE_TYPES},',
        '              {t: torch.arange(40) for t in NODE_TYPES})',
        'sum(h.square().sum() for h in out.values()).backward()',
        'print(hashlib.sha256(conv.lins["shared"].weight.grad.numpy().tobytes()).hexdigest())'])
    processes = [subprocess.Popen([sys.executable, '-W', 'ignore', '-c', code], stdout=subprocess.PIPE, text=True,
                                  env={**os.environ, 'PYTHONHASHSEED': seed}) for seed in ('1', '3', '4')]
    digests = [process.communicate()[0] for process in processes]
    assert len(set(digests)) == 1
    assert len(digests[0]) == 65


def test_a_residual_layer_keeps_the_width():
    with pytest.raises(ValueError, match=f'keeps the width of its vertices; got in_channels={D}, out_channels={D + 1}'):
        DRINConv(D, D + 1, residual=True)
