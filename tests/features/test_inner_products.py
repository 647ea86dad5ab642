import pytest
import torch

from drin_pyg.features.inner_products import inner_products

ROWS = {
    'sorted': [0, 0, 1, 3, 3, 3],
    'no order': [3, 0, 3, 1, 0, 0],
    'one row': [2] * 6,
    'each its own': [5, 3, 4, 0, 1, 2],
}


def tables(dtype, num_cols=5):
    generator = torch.Generator().manual_seed(0)
    return (torch.randn(rows, 7, generator=generator).to(dtype) for rows in (6, num_cols))


def expected(a, b, row, col):
    pairs = zip(row.tolist(), col.tolist(), strict=True)
    return torch.stack([torch.dot(a[i].double(), b[j].double()) for i, j in pairs])


@pytest.mark.parametrize('row', ROWS.values(), ids=ROWS)
@pytest.mark.parametrize(('dtype', 'atol'), [(torch.float64, 1e-12), (torch.float32, 1e-5), (torch.bfloat16, 0.1)],
                         ids=str)
@pytest.mark.parametrize('col', [[4, 0, 1, 1, 2, 0], [0] * 6], ids=['some', 'one over and over'])
def test_equals_loops(row, dtype, atol, col):
    a, b = tables(dtype)
    row, col = torch.tensor(row), torch.tensor(col)
    value = inner_products(a, b, row, col)
    assert value.dtype == dtype
    torch.testing.assert_close(value.double(), expected(a, b, row, col), rtol=0, atol=atol)


def test_more_products_than_rows_and_columns_have():
    # One entity in every place of a list: PyTorch's kernel refuses that.
    a, b = tables(torch.float32, num_cols=1)
    row, col = torch.tensor([2, 2, 2]), torch.zeros(3, dtype=torch.long)
    torch.testing.assert_close(inner_products(a, b, row, col).double(), expected(a, b, row, col), rtol=0, atol=1e-5)


def test_tables_of_any_layout():
    a, b = (x.t().contiguous().t() for x in tables(torch.float64))
    row, col = torch.tensor([0, 0, 4]), torch.tensor([1, 2, 3])
    torch.testing.assert_close(inner_products(a, b, row, col), expected(a, b, row, col), rtol=0, atol=1e-12)


def test_none():
    empty = torch.empty(0, dtype=torch.long)
    assert inner_products(*tables(torch.float32), empty, empty).shape == (0, )


@pytest.mark.parametrize(('row', 'col'), [([6], [0]), ([0], [5]), ([0, 0], [1, -1])])
def test_rows_that_are_not_there(row, col):
    with pytest.raises(IndexError):
        inner_products(*tables(torch.float32), torch.tensor(row), torch.tensor(col))
