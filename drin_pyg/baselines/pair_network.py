import torch
from torch import Tensor
from torch_geometric.data import HeteroData
from torch_geometric.nn.dense.linear import Linear
from torch_geometric.nn.module_dict import ModuleDict

from drin_pyg.baselines.baseline import Baseline
from drin_pyg.baselines.sides import Sides, first_weights
from drin_pyg.baselines.single_space import ENDS
from drin_pyg.vocabulary import EDGE_TYPES, NODE_TYPES


class PairNetwork(Baseline):
    r"""A small network on each pair: no graph, no attention, cheap and hard to beat.

    Texts and images are projected, each kind of vertex by its own Linear, and brought to length
    :math:`\sqrt{D}`: :math:`\mathbf{u}` of the mention and :math:`\mathbf{v}` of the entity, one such pair for the
    texts and one for the images. With :math:`\mathbf{w}` the first weights of the four relations,

    .. math::
        s = \mathrm{MLP}\bigl([\mathbf{u}_t \odot \mathbf{v}_t;\ |\mathbf{u}_t - \mathbf{v}_t|;\
        \mathbf{u}_i \odot \mathbf{v}_i;\ |\mathbf{u}_i - \mathbf{v}_i|;\ \mathbf{w};\ \mathbf{h}]\bigr)
        + \mathbf{a}^\top [\mathbf{w}; \mathbf{h}],

    where :math:`\mathbf{h}` says which relations the pair has. Of several images the mean counts; where one of the
    two images is missing, its part of the input is zero, as is the weight of a missing relation. The last layer of
    the MLP starts at zero and :math:`\mathbf{a}` at the sum of the weights: training starts at late fusion.

    Args:
        hidden_channels: Width of the projections and of the MLP's hidden layer.
        dropout: Dropout on the MLP's hidden layer.
    """

    def __init__(self, hidden_channels: int = 128, dropout: float = 0.1):
        super().__init__()
        self.hidden_channels = hidden_channels
        self.dropout = dropout
        self.encoders = ModuleDict({node_type: Linear(-1, hidden_channels, bias_initializer='zeros')
                                    for node_type in NODE_TYPES})
        num_weights = 2 * len(EDGE_TYPES)
        self.hidden = Linear(4 * hidden_channels + num_weights, hidden_channels)
        self.drop = torch.nn.Dropout(dropout)
        self.out = Linear(hidden_channels, 1, bias=False)
        self.linear = Linear(num_weights, 1, bias=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        r"""Resets all learnable parameters of the module."""
        for module in (*self.encoders.values(), self.hidden, self.out, self.linear):
            module.reset_parameters()
        torch.nn.init.zeros_(self.out.weight)
        with torch.no_grad():
            ones = self.linear.weight.new_ones(len(EDGE_TYPES))
            self.linear.weight.copy_(torch.cat([ones, torch.zeros_like(ones)]).unsqueeze(0))

    def forward(self, batch: HeteroData) -> Tensor:
        sides = Sides(batch)
        parts = []
        for mention_type, entity_type in ENDS.values():
            u, has_u = sides.mean(mention_type, self.encoders[mention_type])        # [B, D], [B]
            v, has_v = sides.mean(entity_type, self.encoders[entity_type])          # [C, D], [C]
            at_u, at_v = sides.mention.of_pair, sides.entity.of_pair
            u, v = _to_length(u)[at_u], _to_length(v)[at_v]                         # [P, D]
            both = (has_u[at_u] & has_v[at_v]).unsqueeze(-1)                        # [P, 1]
            parts += [u * v * both, (u - v).abs() * both]
        weight = first_weights(batch)                                               # [P, 4]
        missing = weight.isnan()
        weights = torch.cat([weight.nan_to_num(0.0), (~missing).to(weight)], dim=-1)  # [P, 8]
        hidden = self.drop(torch.nn.functional.gelu(self.hidden(torch.cat([*parts, weights], dim=-1))))  # [P, D]
        return (self.out(hidden) + self.linear(weights)).squeeze(-1)                # [P]


def _to_length(x: Tensor) -> Tensor:
    """Rows ``[N, D]`` scaled to length sqrt(D), so that products are of the size an MLP expects."""
    return torch.nn.functional.normalize(x, dim=-1) * x.size(-1)**0.5
