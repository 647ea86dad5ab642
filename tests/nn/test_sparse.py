import pytest
import torch

from drin_pyg.nn.sparse import sddmm, spmm

TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 3e-2}

# Receiving row, sending row; 4 and 5 vertices. Row 2 receives nothing, column 1 sends nothing.
EDGES = {
    'sorted': [(0, 0), (0, 4), (1, 2), (3, 3)],
    'unsorted': [(3, 0), (0, 4), (1, 2), (0, 3), (3, 2)],
    'duplicate': [(1, 3), (0, 2), (1, 3), (1, 3), (0, 2)],
    'descending columns': [(0, 4), (0, 2), (0, 0), (1, 3), (1, 2)],
    'none': [],
}


def make(edges, dtype=torch.float64, channels=3):
    generator = torch.Generator().manual_seed(0)
    row, col = torch.tensor(edges, dtype=torch.long).reshape(-1, 2).t()
    weight, a, b = (torch.randn(size, dtype=torch.float64, generator=generator).to(dtype)
                    for size in [(len(edges),), (4, channels), (5, channels)])
    return row, col, weight, a, b


def spmm_loop(row, col, weight, x, num_rows):
    out = torch.zeros(num_rows, x.size(1), dtype=torch.float64)
    for i, j, w in zip(row.tolist(), col.tolist(), weight.tolist(), strict=True):
        for k in range(x.size(1)):
            out[i, k] += w * float(x[j, k])
    return out


def sddmm_loop(row, col, a, b):
    return torch.tensor([sum(float(a[i, k]) * float(b[j, k]) for k in range(a.size(1)))
                         for i, j in zip(row.tolist(), col.tolist(), strict=True)], dtype=torch.float64)


@pytest.mark.parametrize('edges', EDGES.values(), ids=EDGES)
@pytest.mark.parametrize('dtype', TOLERANCE)
def test_spmm_equals_loops(edges, dtype):
    row, col, weight, _, x = make(edges, dtype)
    out = spmm(row, col, weight, x, 4)
    assert out.dtype == dtype
    torch.testing.assert_close(out.double(), spmm_loop(row, col, weight, x, 4), rtol=0, atol=TOLERANCE[dtype])


@pytest.mark.parametrize('edges', EDGES.values(), ids=EDGES)
@pytest.mark.parametrize('dtype', TOLERANCE)
def test_spmm_starts_from_the_root(edges, dtype):
    row, col, weight, _, x = make(edges, dtype)
    root = torch.randn(4, x.size(1), generator=torch.Generator().manual_seed(5)).to(dtype)
    before = root.clone()
    out = spmm(row, col, weight, x, 4, root)
    assert out.dtype == dtype
    assert torch.equal(root, before)
    torch.testing.assert_close(out.double(), root.double() + spmm_loop(row, col, weight, x, 4), rtol=0,
                               atol=TOLERANCE[dtype])


@pytest.mark.parametrize('edges', EDGES.values(), ids=EDGES)
@pytest.mark.parametrize('dtype', TOLERANCE)
def test_sddmm_equals_loops(edges, dtype):
    row, col, _, a, b = make(edges, dtype)
    out = sddmm(row, col, a, b)
    assert out.dtype == dtype
    torch.testing.assert_close(out.double(), sddmm_loop(row, col, a, b), rtol=0, atol=TOLERANCE[dtype])


def test_rows_without_an_edge_are_zero():
    row, col, weight, _, x = make(EDGES['unsorted'])
    out = spmm(row, col, weight, x, 7)
    assert out.shape == (7, 3)
    assert out[[2, 4, 5, 6]].eq(0).all()
    assert out[[0, 1, 3]].ne(0).all()


@pytest.mark.parametrize('dtype', TOLERANCE)
def test_zero_rows(dtype):
    row = torch.empty(0, dtype=torch.long)
    empty, x = torch.empty(0, 3, dtype=dtype), torch.ones(5, 3, dtype=dtype)
    assert spmm(row, row, empty[:, 0], x, 0).shape == (0, 3)
    assert spmm(row, row, empty[:, 0], empty, 4).equal(torch.zeros(4, 3, dtype=dtype))
    assert sddmm(row, row, empty, x).shape == (0,)
    assert sddmm(row, row, empty, empty).shape == (0,)


@pytest.mark.parametrize('edges', [EDGES['unsorted'], EDGES['duplicate'], EDGES['none']])
def test_spmm_first_and_second_gradient(edges):
    row, col, weight, _, x = make(edges, channels=2)
    inputs = (weight.requires_grad_(), x.requires_grad_())
    assert torch.autograd.gradcheck(lambda w, x: spmm(row, col, w, x, 4), inputs)
    assert torch.autograd.gradgradcheck(lambda w, x: spmm(row, col, w, x, 4), inputs)
    inputs = (*inputs, torch.randn(4, 2, dtype=torch.float64, requires_grad=True))
    assert torch.autograd.gradcheck(lambda w, x, root: spmm(row, col, w, x, 4, root), inputs)
    assert torch.autograd.gradgradcheck(lambda w, x, root: spmm(row, col, w, x, 4, root), inputs)


@pytest.mark.parametrize('edges', [EDGES['unsorted'], EDGES['duplicate'], EDGES['none']])
def test_sddmm_first_and_second_gradient(edges):
    row, col, _, a, b = make(edges, channels=2)
    inputs = (a.requires_grad_(), b.requires_grad_())
    assert torch.autograd.gradcheck(lambda a, b: sddmm(row, col, a, b), inputs)
    assert torch.autograd.gradgradcheck(lambda a, b: sddmm(row, col, a, b), inputs)


def test_gradient_of_one_input_alone():
    # Half of the backward pass is skipped when the other input is data.
    row, col, weight, a, b = make(EDGES['unsorted'])
    for fixed in range(2):
        inputs = [weight.clone(), b.clone()]
        inputs[1 - fixed].requires_grad_()
        assert torch.autograd.gradcheck(lambda w, x: spmm(row, col, w, x, 4), inputs)
        inputs = [a.clone(), b.clone()]
        inputs[1 - fixed].requires_grad_()
        assert torch.autograd.gradcheck(lambda a, b: sddmm(row, col, a, b), inputs)


# opcheck itself reads `.grad` of its copies of the inputs.
@pytest.mark.filterwarnings('ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning')
@pytest.mark.parametrize('edges', [EDGES['sorted'], EDGES['unsorted'], EDGES['none']])
def test_operators_are_registered_correctly(edges):
    # Schema, fake kernel, autograd registration and dynamic shapes, by PyTorch's own check.
    row, col, weight, a, b = make(edges)
    a, b, weight = a.requires_grad_(), b.requires_grad_(), weight.requires_grad_()
    torch.library.opcheck(torch.ops.drin_pyg.spmm.default, (row, col, weight, b, 4, None))
    root = torch.randn(4, b.size(1), dtype=b.dtype, requires_grad=True)
    torch.library.opcheck(torch.ops.drin_pyg.spmm.default, (row, col, weight, b, 4, root))
    torch.library.opcheck(torch.ops.drin_pyg.sddmm.default, (row, col, a, b))


@pytest.mark.parametrize(('left', 'right', 'out'), [
    (torch.float32, torch.float64, torch.float64),
    (torch.bfloat16, torch.float32, torch.float32),
    (torch.float64, torch.bfloat16, torch.float64),
])
def test_mixed_dtypes_promote(left, right, out):
    row, col, weight, a, b = make(EDGES['unsorted'])
    weight, a, b = weight.to(left), a.to(left), b.to(right)
    result = spmm(row, col, weight, b, 4)
    assert result.dtype == out
    torch.testing.assert_close(result.double(), spmm_loop(row, col, weight, b, 4), rtol=0, atol=TOLERANCE[out])
    result = sddmm(row, col, a, b)
    assert result.dtype == out
    torch.testing.assert_close(result.double(), sddmm_loop(row, col, a, b), rtol=0, atol=TOLERANCE[out])


def test_mixed_dtypes_give_each_gradient_in_its_own():
    row, col, weight, _, x = make(EDGES['unsorted'])
    weight, x = weight.float().requires_grad_(), x.bfloat16().requires_grad_()
    spmm(row, col, weight, x, 4).sum().backward()
    assert weight.grad.dtype == torch.float32
    assert x.grad.dtype == torch.bfloat16


@pytest.mark.parametrize('dtype', TOLERANCE)
@pytest.mark.parametrize('edges', [EDGES['sorted'], EDGES['unsorted']])
def test_non_contiguous_inputs(edges, dtype):
    # The kernels below take raw memory; sorted edges reach them without a permutation that would copy them.
    row, col, weight, a, b = make(edges, dtype)
    row, col = row.contiguous(), col.contiguous()
    expected = spmm(row, col, weight, b, 4), sddmm(row, col, a, b)
    ends = torch.stack([row, col], dim=1)                        # rows of an edge list: stride 2
    wide = torch.stack([weight, weight], dim=1)[:, 0]
    a, b = a.t().contiguous().t(), torch.cat([b, b], dim=1)[:, :3]
    assert not any(tensor.is_contiguous() for tensor in (ends[:, 0], ends[:, 1], wide, a, b))
    assert spmm(ends[:, 0], ends[:, 1], wide, b, 4).equal(expected[0])
    assert sddmm(ends[:, 0], ends[:, 1], a, b).equal(expected[1])


def test_gradient_that_arrives_expanded():
    # `out.sum()` sends back one number with stride 0; the kernels must not read it as a matrix.
    row, col, weight, a, b = make(EDGES['unsorted'])
    weight.requires_grad_(), b.requires_grad_()
    spmm(row, col, weight, b, 4).sum().backward()
    torch.testing.assert_close(weight.grad, b.detach()[col].sum(-1))
    a.requires_grad_()
    sddmm(row, col, a, b.detach()).sum().backward()
    torch.testing.assert_close(a.grad, spmm_loop(row, col, torch.ones(5), b.detach(), 4))


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16, torch.float16])
def test_sum_of_a_thousand_terms(dtype):
    # A running sum in bfloat16 would stop growing at 256, in float16 at 2048.
    num_edges = 4000
    row, col = torch.zeros(num_edges, dtype=torch.long), torch.arange(num_edges)
    out = spmm(row, col, torch.ones(num_edges, dtype=dtype), torch.ones(num_edges, 2, dtype=dtype), 1)
    torch.testing.assert_close(out.float(), torch.full((1, 2), 4000.), rtol=1e-2, atol=0)


@pytest.mark.parametrize('dtype', TOLERANCE)
@pytest.mark.parametrize('bad', [-1, 4, 10**9])
def test_an_index_out_of_range_is_an_error_and_not_a_crash(bad, dtype):
    good, bad = torch.tensor([0, 1]), torch.tensor([0, bad])
    weight, x = torch.ones(2, dtype=dtype), torch.ones(4, 3, dtype=dtype)
    for row, col in ((good, bad), (bad, good)):
        with pytest.raises(IndexError):
            spmm(row, col, weight, x, 4)
    with pytest.raises(IndexError):
        sddmm(good, torch.tensor([0, 4]), x, x)


@pytest.mark.parametrize(('num_rows', 'num_cols'), [(1, 1), (1, 2), (2, 1)])
def test_more_edges_than_a_dense_matrix_has_entries(num_rows, num_cols):
    # Seven times the same few pairs: a candidate that a list names again and again.
    generator = torch.Generator().manual_seed(0)
    row, col = torch.arange(7) % num_rows, torch.arange(7) % num_cols
    a, b = (torch.randn(size, 3, dtype=torch.float64, generator=generator) for size in (num_rows, num_cols))
    weight = torch.randn(7, dtype=torch.float64, generator=generator)
    torch.testing.assert_close(sddmm(row, col, a, b), sddmm_loop(row, col, a, b))
    torch.testing.assert_close(spmm(row, col, weight, b, num_rows), spmm_loop(row, col, weight, b, num_rows))


def test_inputs_are_not_changed():
    row, col, weight, a, b = make(EDGES['unsorted'])
    tensors = (row, col, weight, a, b)
    before = [tensor.clone() for tensor in tensors]
    spmm(row, col, weight, b, 4)
    sddmm(row, col, a, b)
    assert all(tensor.equal(copy) for tensor, copy in zip(tensors, before, strict=True))
