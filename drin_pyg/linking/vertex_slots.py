r"""Where the entity vertices of a chunk lie, and the edge arithmetic between them and the mention vertices.

A chunk is ``B`` mentions with ``K`` candidates each, ``P = B K`` pairs. Of one type, a mention has ``I`` vertices (its
text, or its images) and the chunk has ``N`` entity vertices of width ``D``. Mention vertices are ``[B, 1, I, D]`` while
the candidates of a mention share them, and ``[B, K, I, D]`` once every pair has its own.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor


class VertexSlots(ABC):
    r"""One layer's edge arithmetic for one relation; what stands for no edge has weight 0.

    Attributes:
        count: Number of a mention's entity vertices, ``[B]``.

    Weights and values of edges are in the layout of the class, ``[..., I, K or N]``; vertices ``v`` are ``[N, D]``.
    """

    @abstractmethod
    def dot(self, u: Tensor, v: Tensor) -> Tensor:
        r"""Inner product of both ends of every edge, at least float32."""

    @abstractmethod
    def mask(self, weight: Tensor) -> Tensor:
        r"""Sets what is no edge to 0, in place."""

    @abstractmethod
    def of_mention(self, value: Tensor) -> Tensor:
        r"""A value of the mention vertices ``[B, 1 or K, I]``, so that it broadcasts over the edges."""

    @abstractmethod
    def of_entity(self, value: Tensor) -> Tensor:
        r"""A value of the entity vertices ``[N]``, so that it broadcasts over the edges."""

    @abstractmethod
    def add_to_entities(self, out: Tensor, u: Tensor, weight: Tensor, bias: Tensor | None = None) -> None:
        r"""Adds :math:`\sum_i w_i u_i` over the mention vertices, and a bias, to ``out`` ``[N, D]``, in place."""

    @abstractmethod
    def add_to_pairs(self, out: Tensor, weight: Tensor, v: Tensor) -> None:
        r"""Adds the mean of :math:`w v` over the pair's entity vertices to ``out`` ``[B, K, I, D]``, in place."""

    @abstractmethod
    def sum_of_mention(self, weight: Tensor, v: Tensor) -> Tensor:
        r"""Sum of :math:`w v` over the entity vertices of all candidates of a mention, ``[B, I, D]``."""

    @abstractmethod
    def mean_of_pair(self, value: Tensor) -> Tensor:
        r"""Mean of ``value`` over the edges of a pair, 0 where there are none, ``[B, K]``."""


class OneSlot(VertexSlots):
    r"""At most one vertex a pair: ``N = P``, weights ``[B, I, K]``. Dense products, for any device and dtype.

    Args:
        there: Which slots hold a vertex, bool ``[B, K]``; the others hold anything finite.
        full: Whether all do.
    """

    def __init__(self, there: Tensor, full: bool):
        self.there = there
        self.full = full
        self.count = there.sum(1)

    def dot(self, u, v):
        v = v.view(*self.there.shape, -1)                                       # [B, K, D]
        if u.size(1) == 1 and v.dtype in (torch.float32, torch.float64):
            return torch.bmm(u.squeeze(1), v.transpose(1, 2))                   # [B, I, K]
        # A product in half precision would round its result to 8 bits; a sum of rounded terms does not.
        dtype = torch.promote_types(v.dtype, torch.float32)
        value = torch.empty(v.size(0), u.size(2), v.size(1), dtype=dtype, device=v.device)
        for i in range(u.size(2)):
            torch.sum(v * u[:, :, i], -1, dtype=dtype, out=value[:, i])
        return value

    def mask(self, weight):
        return weight if self.full else weight.mul_(self.there.unsqueeze(1))

    def of_mention(self, value):
        return value.transpose(1, 2)                                            # [B, I, 1 or K]

    def of_entity(self, value):
        return value.view(self.there.size(0), 1, -1)                            # [B, 1, K]

    def add_to_entities(self, out, u, weight, bias=None):
        out, weight = out.view(*self.there.shape, -1), weight.to(out.dtype)
        if u.size(1) == 1:
            if bias is not None:  # as one more vertex of weight 1, it needs no pass of its own over `out`
                u = torch.cat([u, bias.expand(u.size(0), 1, 1, -1)], 2)
                weight = torch.cat([weight, weight.new_ones(weight.size(0), 1, weight.size(2))], 1)
            out.baddbmm_(weight.transpose(1, 2), u.squeeze(1))
            return
        for i in range(u.size(2)):
            out.addcmul_(u[:, :, i], weight[:, i].unsqueeze(-1))
        if bias is not None:
            out.add_(bias)

    def add_to_pairs(self, out, weight, v):
        v, weight = v.view(*self.there.shape, -1), weight.to(v.dtype)
        for i in range(out.size(2)):
            out[:, :, i].addcmul_(v, weight[:, i].unsqueeze(-1))

    def sum_of_mention(self, weight, v):
        return torch.bmm(weight.to(v.dtype), v.view(*self.there.shape, -1)).to(weight.dtype)

    def mean_of_pair(self, value):
        return self.mask(value).mean(1) if value.size(1) else value.sum(1)


class ManySlots(VertexSlots):
    r"""Any number of vertices a pair: weights ``[I, N]``. Gathers and scattered sums.

    Args:
        owner: Pair ``b K + k`` of each vertex, int64 ``[N]``, rising.
        shape: ``(B, K)``.
    """

    def __init__(self, owner: Tensor, shape: tuple[int, int]):
        self.owner = owner
        self.shape = shape
        self.mention = owner // max(shape[1], 1)                                # [N]
        self.count = torch.bincount(self.mention, minlength=shape[0])           # [B]

    def _lift(self, u: Tensor) -> Tensor:
        """The mention vertices that each entity vertex is joined to, ``[N, I, D]``."""
        return u[:, 0][self.mention] if u.size(1) == 1 and self.shape[1] != 1 else u.flatten(0, 1)[self.owner]

    def dot(self, u, v):
        dtype = torch.promote_types(v.dtype, torch.float32)
        return (self._lift(u) * v.unsqueeze(1)).sum(-1, dtype=dtype).t().contiguous()  # [I, N]

    def mask(self, weight):
        return weight

    def of_mention(self, value):
        return self._lift(value.unsqueeze(-1)).squeeze(-1).t()                  # [I, N]

    def of_entity(self, value):
        return value

    def add_to_entities(self, out, u, weight, bias=None):
        out.add_((self._lift(u) * weight.t().unsqueeze(-1).to(out.dtype)).sum(1))
        if bias is not None:
            out.add_(bias)

    def add_to_pairs(self, out, weight, v):
        count = torch.bincount(self.owner, minlength=out.size(0) * out.size(1))
        weight = (weight / count[self.owner]).to(v.dtype)
        out.flatten(0, 1).index_add_(0, self.owner, weight.t().unsqueeze(-1) * v.unsqueeze(1))

    def sum_of_mention(self, weight, v):
        out = weight.new_zeros(self.shape[0], weight.size(0), v.size(1))
        return out.index_add_(0, self.mention, weight.t().unsqueeze(-1) * v.unsqueeze(1))

    def mean_of_pair(self, value):
        num_pairs = self.shape[0] * self.shape[1]
        count = torch.bincount(self.owner, minlength=num_pairs) * max(value.size(0), 1)
        total = value.new_zeros(num_pairs).index_add_(0, self.owner, value.sum(0))
        return (total / count.clamp(min=1)).view(self.shape)
