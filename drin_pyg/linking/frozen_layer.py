import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.typing import EdgeType, NodeType

from drin_pyg.nn import DRINConv
from drin_pyg.nn.drin_conv import SHARED


class FrozenLayer:
    r"""The arithmetic of one trained :class:`~drin_pyg.nn.DRINConv`, for scoring alone.

    Args:
        conv: The layer.
        dtype: What vertices are computed in.
        device: Where.
    """

    def __init__(self, conv: DRINConv, dtype: torch.dtype, device: torch.device):
        self.node_types = set(conv.out_node_types)
        self.edge_types = [tuple(t) for t in conv.metadata[1]]
        self.out_edge_types = conv.out_edge_types
        # Entity types whose input vertices the layer reads for itself, not to send them to the mention.
        self.reads = self.node_types | ({dst for _, _, dst in conv.out_edge_types} if conv.dynamic else set())
        self.dynamic, self.shared, self.residual = conv.dynamic, conv.shared, conv.residual
        self.dtype = dtype

        def put(x: Tensor) -> Tensor:
            return x.detach().to(device, dtype)

        self.weight = {key: put(lin.weight).t().contiguous() for key, lin in conv.lins.items()}  # [D, D], x @ weight
        self.bias = {key: put(lin.bias) for key, lin in conv.lins.items()}
        self.norm = {key: (put(norm.weight), put(norm.bias), norm.eps) for key, norm in conv.norms.items()}
        self.scale = {key: put(scale) for key, scale in conv.scales.items()}
        # <W_u u + b_u, W_v v + b_v> / D = <A u + a, v> + <g, u> + c: one product instead of two, see EdgeRule.
        self.rules = {}
        for key, rule in conv.edge_rules.items():
            w_u, b_u, w_v, b_v = (x.detach().to(device, torch.float64) for x in (
                rule.lin_u.weight, rule.lin_u.bias, rule.lin_v.weight, rule.lin_v.bias))
            width = w_u.size(0)
            self.rules[key] = tuple(x.to(dtype) for x in (w_u.t() @ w_v / width, b_u @ w_v / width,
                                                          b_v @ w_u / width, b_v @ b_u / width))

    def key(self, name: NodeType | EdgeType) -> NodeType | EdgeType | str:
        """Whose parameters a node type or relation uses."""
        return SHARED if self.shared else name

    def project(self, node_type: NodeType, x: Tensor, out: Tensor | None = None) -> Tensor:
        r""":math:`\mathbf{W}_h \mathbf{x} + \mathbf{b}_h`."""
        key = self.key(node_type)
        rows = x.reshape(-1, x.size(-1))
        out = torch.addmm(self.bias[key], rows, self.weight[key], out=out)
        return out.view(x.shape)

    def activate(self, node_type: NodeType, hidden: Tensor, x: Tensor | None, out: Tensor | None = None) -> Tensor:
        r"""GELU(LayerNorm(hidden)), or :math:`\mathbf{x} + \boldsymbol{\alpha} \odot` that, into ``out``."""
        key = self.key(node_type)
        weight, bias, eps = self.norm[key]
        hidden = F.layer_norm(hidden, weight.shape, weight, bias, eps)
        out = torch.ops.aten.gelu.out(hidden, out=torch.empty_like(hidden) if out is None else out)
        return torch.addcmul(x, self.scale[key], out, out=out) if self.residual else out

    def query(self, edge_type: EdgeType, u: Tensor) -> tuple[Tensor, Tensor]:
        r"""What the edge update needs of mention vertices: :math:`\mathbf{q}` ``[..., D]`` and :math:`c` ``[...]``."""
        weight, bias, offset, constant = self.rules[self.key(edge_type)]
        rows = u.reshape(-1, u.size(-1))
        return torch.addmm(bias, rows, weight).view(u.shape), u @ offset + constant
