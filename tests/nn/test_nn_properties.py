"""Any graph of finite numbers: finite scores, weights and gradients, the same on every path to them."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from drin_pyg.graph import candidate_batch, forward_args
from drin_pyg.nn import DRIN, DRINConv, RelationConv
from drin_pyg.nn.loss import margin_loss, softmax_loss
from drin_pyg.vocabulary import EDGE_TYPES, METADATA, NODE_TYPES
from tests.nn.problems import USER_ITEM
from tests.nn.reference import drin_layer
from tests.strategies import graphs, json_values, tensors, worlds

CHANNELS = 4
MODERATE = ('normal', 'zeros', 'tiny', 'equal')


def assert_finite(values):
    for name, value in values.items():
        assert bool(value.isfinite().all()), name


def make_model(tables, seed=0, **options):
    """A model of the tables' widths with no parameter left at its initial value."""
    torch.manual_seed(seed)
    model = DRIN({t: tables.x[t].size(1) for t in NODE_TYPES}, CHANNELS, **options)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model


options = st.fixed_dictionaries({
    'num_layers': st.integers(0, 3), 'dynamic': st.booleans(), 'vector_edges': st.booleans(), 'shared': st.booleans(),
    'residual': st.booleans(), 'read_relations': st.booleans(), 'edge_types': st.sampled_from(
        [EDGE_TYPES, EDGE_TYPES[:1], EDGE_TYPES[2:], [EDGE_TYPES[0], EDGE_TYPES[3]]])})


@given(worlds(), options, st.sampled_from(['pair', 'mention']), st.integers(0, 9))
def test_scores_and_gradients_are_finite(world, options, context, seed):
    model = make_model(world.tables, seed, **options)
    batch = candidate_batch(world.tables, world.candidates, context=context)
    scores, trace = model.trace(**forward_args(batch))
    assert scores.shape == (world.candidates.num_pairs, )
    assert_finite({'scores': scores, **{f'{e} at {depth}': w for depth, weights in enumerate(trace)
                                        for e, w in weights.items()}})
    if scores.requires_grad:
        (softmax_loss if options['read_relations'] else margin_loss)(scores, batch.y, batch.mention).backward()
        assert_finite({name: p.grad for name, p in model.named_parameters() if p.grad is not None})


@given(worlds(MODERATE), options, st.sampled_from(['pair', 'mention']))
def test_a_compact_batch_has_the_same_scores(world, options, context):
    model = make_model(world.tables, **options)
    with torch.no_grad():
        plain, compact = (model(**forward_args(candidate_batch(world.tables, world.candidates, context=context,
                                                               compact=c))) for c in (False, True))
    torch.testing.assert_close(plain, compact, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('metadata', [METADATA, USER_ITEM], ids=['pair', 'user_item'])
@pytest.mark.parametrize('edge_dim', [None, CHANNELS], ids=['scalar', 'vector'])
@given(data=st.data(), dynamic=st.booleans(), shared=st.booleans(), residual=st.booleans())
def test_a_layer_is_finite_and_equals_its_reference(metadata, edge_dim, data, dynamic, shared, residual):
    kinds = data.draw(st.sampled_from([MODERATE, ('normal', 'large', 'tiny', 'mixed', 'zeros')]))
    x, edge_index, edge_weight = data.draw(graphs(metadata, CHANNELS, edge_dim, kinds=kinds))
    torch.manual_seed(0)
    conv = DRINConv(CHANNELS, CHANNELS, metadata, dynamic=dynamic, edge_dim=edge_dim, shared=shared,
                    residual=residual).double()
    inputs = [value.requires_grad_() for value in (*x.values(), *edge_weight.values())]
    vertices, weights = conv(x, edge_index, edge_weight)
    assert_finite({**vertices, **weights})
    if kinds == MODERATE:
        expected_vertices, expected_weights = drin_layer(conv, x, edge_index, edge_weight)
        for node_type in metadata[0]:
            torch.testing.assert_close(vertices[node_type], expected_vertices[node_type])
        for edge_type in metadata[1]:
            torch.testing.assert_close(weights[edge_type], expected_weights[edge_type])
    total = sum(value.sum() for value in (*vertices.values(), *weights.values()))
    gradients = torch.autograd.grad(total, inputs, allow_unused=True)
    assert all(bool(gradient.isfinite().all()) for gradient in gradients if gradient is not None)


@given(graphs((['a', 'b'], [('a', 'to', 'b')]), CHANNELS), st.sampled_from(['mean', 'sum']), st.booleans(), st.data())
def test_a_relation_is_a_loop_over_its_edges(graph, aggr, back, data):
    x, edge_index, weight = (next(iter(part.values())) if i else part for i, part in enumerate(graph))
    sender, receiver = (x['b'], x['a']) if back else (x['a'], x['b'])
    expected, degree = torch.zeros_like(receiver), torch.zeros(receiver.size(0))
    for (a, b), w in zip(edge_index.t().tolist(), weight, strict=True):
        source, target = (b, a) if back else (a, b)
        expected[target] += w * sender[source]
        degree[target] += 1
    expected = expected / degree.clamp(min=1).unsqueeze(1) if aggr == 'mean' else expected
    conv = RelationConv(aggr, flow='target_to_source' if back else 'source_to_target')
    for conv.fuse in (True, False):
        out = conv((x['a'], x['b']), edge_index, weight)
        assert bool(out.isfinite().all())
        scale = expected.abs().max() if expected.numel() else 0  # of what cancels, what is left is rounding
        torch.testing.assert_close(out, expected, rtol=1e-9, atol=float(1e-12 * scale) + 1e-12)


@given(st.data(), st.integers(0, 12))
def test_losses_of_any_lists_are_finite(data, pairs):
    mention = torch.tensor(sorted(data.draw(st.lists(st.integers(0, 3), min_size=pairs, max_size=pairs))),
                           dtype=torch.long)
    y = torch.tensor(data.draw(st.lists(st.booleans(), min_size=pairs, max_size=pairs)), dtype=torch.bool)
    scores = data.draw(tensors((pairs, ))).requires_grad_()
    for loss in (margin_loss, softmax_loss):
        value = loss(scores, y, mention)
        assert value.shape == ()
        assert bool(value.isfinite())
        assert bool(torch.autograd.grad(value, scores)[0].isfinite().all())


@given(st.data())
def test_any_configuration_makes_its_model_or_is_refused(data):
    config = DRIN(3, CHANNELS).config()
    name = data.draw(st.sampled_from([*config, 'unknown', 'class']))
    if data.draw(st.booleans()):
        config[name] = data.draw(json_values)
    else:
        config.pop(name, None)
    if isinstance(config.get('hidden_channels'), int):
        config['hidden_channels'] = min(config['hidden_channels'], 64)
    if isinstance(config.get('num_layers'), int):
        config['num_layers'] = min(config['num_layers'], 4)
    try:
        model = DRIN.from_config(config)
    except ValueError:
        return
    assert isinstance(model.hidden_channels, int)
