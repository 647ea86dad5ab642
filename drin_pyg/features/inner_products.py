import warnings

import torch
from torch import Tensor
from torch_geometric.utils import cumsum

with warnings.catch_warnings():  # PyTorch says once per process that CSR is in beta; let that be here and unheard
    warnings.simplefilter('ignore')
    torch.sparse_csr_tensor(torch.zeros(1, dtype=torch.long), torch.zeros(0, dtype=torch.long), torch.zeros(0), (0, 0))

_SAMPLED_DTYPES = (torch.float32, torch.float64)  # of which PyTorch has the kernel


def inner_products(a: Tensor, b: Tensor, row: Tensor, col: Tensor) -> Tensor:
    r"""``<a[row[e]], b[col[e]]>`` for each ``e``.

    Rows of ``a`` that repeat in a row are read once, and no row of ``b`` is copied: a sampled product.

    Args:
        a: ``[R, F]``.
        b: ``[C, F]``, of the same dtype.
        row: Rows of ``a``, int64 ``[E]``.
        col: Rows of ``b``, int64 ``[E]``.

    Returns:
        ``[E]``, of the same dtype.

    Raises:
        IndexError: If there is no such row.
    """
    if row.numel() == 0 or a.dtype not in _SAMPLED_DTYPES or not b.is_contiguous():
        return (a[row] * b[col]).sum(-1)
    low, high = torch.aminmax(col)
    if low < 0 or high >= b.size(0):  # the kernel would read whatever lies there
        raise IndexError(f"There is no row {int(low if low < 0 else high)} in a table of {b.size(0)} rows")
    run, count = torch.unique_consecutive(row, return_counts=True)  # [R'], [R']
    if row.numel() > run.numel() * b.size(0):  # the kernel refuses more samples than a dense product has entries
        return (a[row] * b[col]).sum(-1)
    samples = torch.sparse_csr_tensor(cumsum(count), col, a.new_zeros(col.numel()), (run.numel(), b.size(0)),
                                      check_invariants=False)
    return torch.sparse.sampled_addmm(samples, a.index_select(0, run), b.t(), beta=0.0).values()
