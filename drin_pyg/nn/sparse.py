r"""The two sparse products behind edge-weighted message passing, and their gradients.

Over edges :math:`(r_e, c_e)` with weights :math:`w_e`

* SpMM   :math:`\quad y_i = \sum_{e:\, r_e = i} w_e\, x_{c_e}` sends messages,
* SDDMM  :math:`\quad s_e = \langle a_{r_e}, b_{c_e} \rangle` compares the two ends.

The gradient of either is made of the two again, so the pair is closed under
differentiation, to any order, and no ``[E, F]`` message tensor exists in any pass.
They are PyTorch custom operators, so ``torch.compile(fullgraph=True)`` keeps them whole.
Autograd through ``torch.sparse`` or :class:`~torch_geometric.EdgeIndex` gives the
same numbers several times slower (``benchmarks/layer_speed.py`` prints by how much).
"""

import warnings

import torch
from torch import Tensor

with warnings.catch_warnings():  # PyTorch says once per process that CSR is in beta; let that be here and unheard
    warnings.simplefilter('ignore')
    torch.sparse_csr_tensor(torch.zeros(1, dtype=torch.long), torch.zeros(0, dtype=torch.long), torch.zeros(0), (0, 0))

# Sparse kernels of PyTorch exist for these. In other dtypes SpMM computes in float32 (a running sum of
# bfloat16 stops growing after 256 equal terms, where a GPU adds atomically) and SDDMM gathers.
_CSR_DTYPES = (torch.float32, torch.float64)


def spmm(row: Tensor, col: Tensor, weight: Tensor, x: Tensor, num_rows: int, root: Tensor | None = None) -> Tensor:
    r"""Sums ``weight[e] * x[col[e]]`` into row ``row[e]``, in any edge order.

    Args:
        row: Receiving row of each edge, int64 ``[E]``.
        col: Row of ``x`` that each edge reads, int64 ``[E]``.
        weight: One weight per edge, ``[E]``.
        x: Features ``[C, F]``.
        num_rows: Number ``N`` of receiving rows.
        root: What rows start from, ``[N, F]``; zeros by default.

    Returns:
        ``[N, F]``, of the promoted dtype of ``weight`` and ``x``.
    """
    dtype = torch.promote_types(weight.dtype, x.dtype)
    return _spmm(row, col, weight.to(dtype), x.to(dtype), num_rows, None if root is None else root.to(dtype))


def sddmm(row: Tensor, col: Tensor, a: Tensor, b: Tensor) -> Tensor:
    r"""Inner product ``<a[row[e]], b[col[e]]>`` of the two ends of each edge.

    Args:
        row: Row of ``a`` of each edge, int64 ``[E]``.
        col: Row of ``b`` of each edge, int64 ``[E]``.
        a: Features ``[R, F]``.
        b: Features ``[C, F]``.

    Returns:
        ``[E]``, of the promoted dtype of ``a`` and ``b``.
    """
    dtype = torch.promote_types(a.dtype, b.dtype)
    return _sddmm(row, col, a.to(dtype), b.to(dtype))


def _csr(row: Tensor, col: Tensor, value: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor | None]:
    """CSR matrix of the edges, and the permutation that sorted them (None: they were sorted)."""
    # The kernels read raw memory: strides and indices that they cannot see are dealt with here.
    row, col, value = row.contiguous(), col.contiguous(), value.contiguous()
    if not row.is_cuda:
        _check_range(row, size[0])
        _check_range(col, size[1])
    perm = None
    # Asking a GPU whether its edges are sorted stalls it longer than sorting them.
    if row.is_cuda or not bool((row[1:] >= row[:-1]).all()):
        perm = torch.argsort(row, stable=True)
        row, col, value = row[perm], col[perm], value[perm]
    rowptr = torch._convert_indices_from_coo_to_csr(row, size[0])
    return torch.sparse_csr_tensor(rowptr, col, value, size, check_invariants=False), perm


def _check_range(index: Tensor, size: int) -> None:
    if index.numel() and bool((index.min() < 0) | (index.max() >= size)):
        bad = index[(index < 0) | (index >= size)][0]
        raise IndexError(f"An edge points at row {int(bad)}, but there are rows 0 to {size - 1}")


@torch.library.custom_op('drin_pyg::spmm', mutates_args=())
def _spmm(row: Tensor, col: Tensor, weight: Tensor, x: Tensor, num_rows: int, root: Tensor | None) -> Tensor:
    if x.dtype not in _CSR_DTYPES:
        root = None if root is None else root.float()
        return _spmm(row, col, weight.float(), x.float(), num_rows, root).to(x.dtype)
    matrix, _ = _csr(row, col, weight, (num_rows, x.size(0)))
    with torch.autocast(x.device.type, enabled=False):  # it would cast to a dtype without a kernel
        return matrix @ x.contiguous() if root is None else torch.addmm(root, matrix, x.contiguous())


@_spmm.register_fake
def _(row: Tensor, col: Tensor, weight: Tensor, x: Tensor, num_rows: int, root: Tensor | None) -> Tensor:
    return x.new_empty(num_rows, x.size(1))


@torch.library.custom_op('drin_pyg::sddmm', mutates_args=())
def _sddmm(row: Tensor, col: Tensor, a: Tensor, b: Tensor) -> Tensor:
    # sampled_addmm also refuses a pattern with more entries than a dense matrix (edges that repeat).
    if a.dtype not in _CSR_DTYPES or row.numel() > a.size(0) * b.size(0):
        return (a[row] * b[col]).sum(-1)
    pattern, perm = _csr(row, col, a.new_zeros(row.numel()), (a.size(0), b.size(0)))
    value = torch.sparse.sampled_addmm(pattern, a.contiguous(), b.contiguous().t(), beta=0.).values()
    return value.clone() if perm is None else torch.empty_like(value).index_copy_(0, perm, value)


@_sddmm.register_fake
def _(row: Tensor, col: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return a.new_empty(row.size(0))


def _save_spmm(ctx, inputs, output) -> None:
    row, col, weight, x, _, _ = inputs
    ctx.save_for_backward(row, col, weight, x)


def _spmm_backward(ctx, grad: Tensor):
    row, col, weight, x = ctx.saved_tensors
    grad_weight = _sddmm(row, col, grad, x) if ctx.needs_input_grad[2] else None
    grad_x = _spmm(col, row, weight, grad, x.size(0), None) if ctx.needs_input_grad[3] else None
    return None, None, grad_weight, grad_x, None, grad if ctx.needs_input_grad[5] else None


def _save_sddmm(ctx, inputs, output) -> None:
    ctx.save_for_backward(*inputs)


def _sddmm_backward(ctx, grad: Tensor):
    row, col, a, b = ctx.saved_tensors
    grad_a = _spmm(row, col, grad, b, a.size(0), None) if ctx.needs_input_grad[2] else None
    grad_b = _spmm(col, row, grad, a, b.size(0), None) if ctx.needs_input_grad[3] else None
    return None, None, grad_a, grad_b


torch.library.register_autograd('drin_pyg::spmm', _spmm_backward, setup_context=_save_spmm)
torch.library.register_autograd('drin_pyg::sddmm', _sddmm_backward, setup_context=_save_sddmm)
