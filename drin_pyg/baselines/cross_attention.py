import torch
from torch import Tensor


class CrossAttention(torch.nn.Module):
    r"""Attention from one sequence to another and back, as in `GHMFC
    <https://doi.org/10.1145/3477495.3531867>`_ (SIGIR 2022).

    .. math::
        \mathbf{h} &= \mathrm{LN}(\mathrm{MultiHead}(\mathbf{a}, \mathbf{b}, \mathbf{b})), \qquad
        \mathbf{h} \leftarrow \mathrm{LN}(\mathbf{h} + \mathbf{W} \mathbf{h}) \\
        \mathbf{g} &= \mathrm{LN}(\mathrm{MultiHead}(\mathbf{h}, \mathbf{a}, \mathbf{a})), \qquad
        \mathbf{g} \leftarrow \mathrm{LN}(\mathbf{g} + \mathbf{W}' \mathbf{g})

    Attention over nothing is skipped: where :math:`\mathbf{b}` is empty, :math:`\mathbf{a}` itself takes the place
    of what the attention would have given.

    Args:
        channels: Width ``D`` of both sequences.
        heads: Number of heads at most; the largest one that divides the width is taken.
        dropout: Dropout on the attention weights.

    Shapes:
        - **input:** ``a`` ``[B, S, D]``, its mask bool ``[B, S]``; ``b`` ``[B, T, D]``, its mask bool ``[B, T]``
        - **output:** ``[B, S, D]``; rows outside the mask of ``a`` mean nothing
    """

    def __init__(self, channels: int, heads: int = 8, dropout: float = 0.1):
        super().__init__()
        self.channels = channels
        self.heads = heads
        self.dropout = dropout
        used = max(n for n in range(1, heads + 1) if channels % n == 0)
        self.attentions = torch.nn.ModuleList(
            torch.nn.MultiheadAttention(channels, used, dropout, batch_first=True) for _ in range(2))
        self.linears = torch.nn.ModuleList(torch.nn.Linear(channels, channels) for _ in range(2))
        self.norms = torch.nn.ModuleList(torch.nn.LayerNorm(channels) for _ in range(4))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        r"""Resets all learnable parameters of the module."""
        for attention in self.attentions:
            attention._reset_parameters()  # torch's name for it; of the biases and in-projections
            attention.out_proj.reset_parameters()
            torch.nn.init.zeros_(attention.out_proj.bias)
        for module in (*self.linears, *self.norms):
            module.reset_parameters()

    def forward(self, a: Tensor, a_mask: Tensor, b: Tensor, b_mask: Tensor) -> Tensor:
        r"""See above."""
        h = self.norms[0](_attend(self.attentions[0], a, b, b_mask))
        h = self.norms[1](h + self.linears[0](h))
        g = self.norms[2](_attend(self.attentions[1], h, a, a_mask))
        return self.norms[3](g + self.linears[1](g))


def _attend(attention: torch.nn.MultiheadAttention, query: Tensor, keys: Tensor, mask: Tensor) -> Tensor:
    """Attention of queries ``[B, S, D]`` over the keys ``[B, T, D]`` in the mask; the queries where there is none."""
    some = mask.any(1)  # [B]
    if not bool(some.any()):
        return query
    keys = keys[some]
    found = attention(query[some], keys, keys, key_padding_mask=~mask[some], need_weights=False)[0]
    return query.index_put((some, ), found.to(query.dtype))


def max_over(x: Tensor, mask: Tensor) -> Tensor:
    r"""Largest entries ``[B, D]`` of the rows ``[B, T, D]`` in the mask bool ``[B, T]``; zeros where there is none."""
    if x.size(1) == 0:
        return x.new_zeros(x.size(0), x.size(2))
    top = x.masked_fill(~mask.unsqueeze(-1), torch.finfo(x.dtype).min).amax(1)  # [B, D]
    return top.masked_fill(~mask.any(1, keepdim=True), 0.0)
