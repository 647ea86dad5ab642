import pytest
import torch

from drin_pyg.nn import EdgeRule, RelationConv
from tests.nn.reference import edge_rule

EDGE_INDEX = torch.tensor([[2, 0, 0, 2, 1, 0], [3, 1, 1, 0, 4, 2]])  # unsorted, one edge twice


def make(vector, channels=6):
    torch.manual_seed(0)
    rule = EdgeRule(channels, vector).double()
    u, v = torch.randn(3, channels).double(), torch.randn(5, channels).double()
    e = torch.randn(6, channels) if vector else torch.randn(6)
    return rule, u, v, e.double()


def apply(rule, u, v, e):
    query, key, offset = rule(u, v)
    return RelationConv().edge_updater(EDGE_INDEX, edge_weight=rule.map_edges(e), query=query, key=key, offset=offset)


def apply_loop(rule, u, v, e):
    return torch.stack([edge_rule(rule, u[i], v[j], e[k]) for k, (i, j) in enumerate(EDGE_INDEX.t().tolist())])


@pytest.mark.parametrize('vector', [False, True])
def test_equals_loops(vector):
    rule, u, v, e = make(vector)
    torch.testing.assert_close(apply(rule, u, v, e), apply_loop(rule, u, v, e), rtol=0, atol=1e-12)


@pytest.mark.parametrize('vector', [False, True])
def test_gradients_equal_loops(vector):
    rule, u, v, e = make(vector)
    inputs = [u.requires_grad_(), v.requires_grad_(), e.requires_grad_(), *rule.parameters()]
    cotangent = torch.randn_like(e)
    grads = torch.autograd.grad(apply(rule, u, v, e), inputs, cotangent)
    expected = torch.autograd.grad(apply_loop(rule, u, v, e), inputs, cotangent)
    for grad, want in zip(grads, expected, strict=True):
        torch.testing.assert_close(grad, want, rtol=0, atol=1e-12)


@pytest.mark.parametrize('vector', [False, True])
def test_every_parameter_is_read(vector):
    rule, u, v, e = make(vector)
    apply(rule, u, v, e).square().sum().backward()
    assert [name for name, p in rule.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_no_destination_is_multiplied():
    # What makes a candidate cost D instead of D^2: it is its own key.
    rule, u, v, _ = make(vector=False)
    query, key, offset = rule(u, v)
    assert key is v
    assert query.shape == u.shape
    assert offset.shape == (3,)


def test_vector_edges_have_no_offset():
    rule, u, v, _ = make(vector=True)
    query, key, offset = rule(u, v)
    assert offset is None
    assert (query.shape, key.shape) == (u.shape, v.shape)


def test_scalar_edges_enter_unchanged():
    rule, _, _, e = make(vector=False)
    assert rule.map_edges(e) is e


@pytest.mark.parametrize('vector', [False, True])
def test_no_vertices_at_all(vector):
    rule, u, v, _ = make(vector)
    query, key, offset = rule(u[:0], v[:0])
    assert query.shape == key.shape == (0, 6)
    assert offset is None if vector else offset.shape == (0,)


@pytest.mark.parametrize('channels', [0, 1, 7])
def test_vector_edges_of_odd_width_are_refused(channels):
    with pytest.raises(ValueError, match=f'even width.*in_channels={channels}'):
        EdgeRule(channels, vector=True)


@pytest.mark.parametrize('vector', [False, True])
def test_reset_parameters_is_a_function_of_the_seed(vector):
    rule = EdgeRule(4, vector)
    states = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        rule.reset_parameters()
        states.append([p.detach().clone() for p in rule.parameters()])
    assert all(a.equal(b) for a, b in zip(states[0], states[1], strict=True))
    assert not any(a.equal(b) for a, b in zip(states[0], states[2], strict=True))


def test_repr():
    assert str(EdgeRule(4, vector=True)) == 'EdgeRule(4, vector=True)'
