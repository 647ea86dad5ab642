import torch
from torch import Tensor
from torch_geometric.nn.dense.linear import Linear


class EdgeRule(torch.nn.Module):
    r"""The learnable half of DRIN's edge update, for one relation or shared by several.

    With the layer's input vertices :math:`\mathbf{u}` (source) and :math:`\mathbf{v}`
    (destination), scalar edges follow (`arXiv:2310.05589 <https://arxiv.org/abs/2310.05589>`_,
    Section 3.4)

    .. math::
        e^{\prime} = \sigma\Bigl(e + \tfrac{1}{D} \sum_{k=1}^{D}
        \bigl[(\mathbf{W}_u \mathbf{u} + \mathbf{b}_u) \odot
        (\mathbf{W}_v \mathbf{v} + \mathbf{b}_v)\bigr]_k \Bigr)
        = \sigma(e + \langle \mathbf{q}, \mathbf{v} \rangle + c),

    with :math:`\mathbf{q} = \mathbf{W}_v^{\top} (\mathbf{W}_u \mathbf{u} + \mathbf{b}_u) / D` and
    :math:`c = \langle \mathbf{b}_v, \mathbf{W}_u \mathbf{u} + \mathbf{b}_u \rangle / D` belonging
    to the source alone: no destination is ever multiplied by :math:`\mathbf{W}_v`, which turns
    :math:`D^2` operations per candidate into :math:`D`. Vector edges follow

    .. math::
        \mathbf{e}^{\prime} = \sigma(\mathbf{W}_m (\mathbf{e} +
        [\mathbf{W}_u \mathbf{u} + \mathbf{b}_u \,;\, \mathbf{W}_v \mathbf{v} + \mathbf{b}_v])
        + \mathbf{b}_m),

    where :math:`\mathbf{W}_m [\cdot\,;\,\cdot]` is again split by its columns so that each vertex
    is mapped once, not once per edge.

    Args:
        in_channels: Width :math:`D` of both vertices.
        vector: Whether edges are vectors of width ``in_channels`` (which must be even: each end
            gives half of it) rather than scalars.
        zero_init: Whether :math:`\mathbf{W}_v` starts at zero, so that training starts from
            :math:`e^{\prime} = \sigma(e)` and not from a random change of every weight.
    """

    def __init__(self, in_channels: int, vector: bool = False, zero_init: bool = False):
        super().__init__()
        self.in_channels = in_channels
        self.vector = vector
        self.zero_init = zero_init
        if vector and (in_channels < 2 or in_channels % 2):
            raise ValueError(f"Vector edges need an even width, each end of an edge giving half of "
                             f"it; got in_channels={in_channels}")
        channels = in_channels // 2 if vector else in_channels
        self.lin_u = Linear(in_channels, channels)
        self.lin_v = Linear(in_channels, channels)
        self.lin_m = Linear(in_channels, in_channels) if vector else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        r"""Resets all learnable parameters of the module."""
        self.lin_u.reset_parameters()
        self.lin_v.reset_parameters()
        if self.lin_m is not None:
            self.lin_m.reset_parameters()
        if self.zero_init:
            torch.nn.init.zeros_(self.lin_v.weight)
            torch.nn.init.zeros_(self.lin_v.bias)

    def forward(self, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        r"""Maps both ends to the ``query``, ``key`` and ``offset`` of
        :class:`~drin_pyg.nn.RelationConv`'s edge rule.

        Args:
            u: Source vertices ``[N_src, D]``.
            v: Destination vertices ``[N_dst, D]``.

        Returns:
            ``query`` ``[N_src, D]``, ``key`` ``[N_dst, D]`` and ``offset`` ``[N_src]`` (None for
            vector edges).
        """
        u = self.lin_u(u)  # [N_src, D] or [N_src, D/2]
        if self.lin_m is not None:
            left, right = self.lin_m.weight.chunk(2, dim=1)  # [D, D/2] each
            return u @ left.t(), self.lin_v(v) @ right.t(), None
        u = u / u.size(-1)
        return u @ self.lin_v.weight, v, u @ self.lin_v.bias

    def map_edges(self, edge_weight: Tensor) -> Tensor:
        r"""What enters the sum of the edge rule for the edge itself: :math:`e`, or
        :math:`\mathbf{W}_m \mathbf{e} + \mathbf{b}_m` for vector edges.

        Args:
            edge_weight: ``[E]``, or ``[E, D]`` for vector edges.
        """
        return edge_weight if self.lin_m is None else self.lin_m(edge_weight)

    def __repr__(self) -> str:
        return f'{self.__class__.__name__}({self.in_channels}, vector={self.vector})'
