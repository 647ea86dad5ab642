"""The dense side of the benchmarks computes what the package computes; otherwise its time would mean nothing."""

from dataclasses import replace

import pytest
import torch

from drin_pyg.features import PairTables
from drin_pyg.features.side_tables import pair_tables
from drin_pyg.graph import candidate_batch, forward_args
from drin_pyg.nn import DRIN
from drin_pyg.vocabulary import EDGE_TYPES
from tests.benchmarks import scripts  # noqa: F401

from dense_published import DenseDRIN, dense_inputs, is_published  # isort: skip
from synthetic import WIDTHS, make_candidates, make_sides, scaled  # isort: skip

SCALE, DIM = 0.01, 6
CHANNELS = {t: scaled(width, SCALE) for t, width in WIDTHS.items()}


def make_model(dtype=torch.float64, build=DRIN.published, **options):
    """A model with no parameter left at its initial value."""
    torch.manual_seed(0)
    model = build(CHANNELS, DIM, **options).to(dtype)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model


def both(model, context, given, dtype=torch.float64):
    """Scores of the package and of the dense side."""
    torch.manual_seed(1)
    tables = pair_tables(*make_sides(4, 9, SCALE, given))
    tables = PairTables({t: x.to(dtype) for t, x in tables.x.items()},
                        {t: (src.to(dtype), dst.to(dtype)) for t, (src, dst) in tables.weight.items()}, tables.ptr)
    candidates = make_candidates(4, 5, 9, given)
    candidates = replace(candidates, weight={t: weight.to(dtype) for t, weight in candidates.weight.items()})
    dense = DenseDRIN(model, context)
    ours = model(**forward_args(candidate_batch(tables, candidates, context=context)))
    return dense, ours, dense(*dense_inputs(tables, candidates)).flatten()


@pytest.mark.parametrize('context', ['pair', 'mention'])
@pytest.mark.parametrize('given', [False, True], ids=['tables', 'given'])
@pytest.mark.parametrize('options', [{}, {'num_layers': 1}, {'num_layers': 3}, {'dynamic': False}], ids=str)
@pytest.mark.parametrize(('dtype', 'atol'), [(torch.float64, 1e-12), (torch.float32, 1e-5)], ids=str)
def test_equals_the_package(context, given, options, dtype, atol):
    _, ours, dense = both(make_model(dtype, **options), context, given, dtype)
    assert ours.std() > 3e-4  # far more than the tolerance
    torch.testing.assert_close(ours, dense, rtol=0, atol=atol)


@pytest.mark.parametrize('context', ['pair', 'mention'])
def test_gradients_equal_the_package(context):
    model = make_model()
    dense, ours, theirs = both(model, context, True)
    ours.square().sum().backward()
    theirs.square().sum().backward()
    for conv, layer in zip(model.convs, dense.layers, strict=True):
        torch.testing.assert_close(layer['w_h'].weight.grad, conv.lins['shared'].weight.grad)
    rule = model.convs[0].edge_rules['shared']
    torch.testing.assert_close(dense.layers[0]['w_u'].weight.grad, rule.lin_u.weight.grad)
    torch.testing.assert_close(dense.layers[0]['w_v'].weight.grad, rule.lin_v.weight.grad)
    for node_type, encoder in model.encoders.items():
        torch.testing.assert_close(dense.encoders[node_type].weight.grad, encoder.weight.grad)
    # As published, the last layer's new edge weights are computed and read by nothing.
    assert dense.layers[-1]['w_v'].weight.grad is None


@pytest.mark.parametrize('model', [make_model(build=DRIN), make_model(num_layers=0), make_model(vector_edges=True),
                                   make_model(edge_types=EDGE_TYPES[:3])], ids=range(4))
def test_other_models_are_refused(model):
    assert not is_published(model)
    with pytest.raises(ValueError, match='the published model alone'):
        DenseDRIN(model, 'pair')
