r"""`DRINConv` between two layers of PyG: HGT, which cannot read edge weights, gets a layer that can.

`HGTConv` takes and gives a dictionary of vertices, as `DRINConv` does, so that either may follow the other. HGT's
messages go one way and need reverse edge types; an edge of `DRINConv` carries messages both ways and needs none.
"""

import torch
from compose import LIKE, RATED, RATES, add_reverse, fit, make_graph, show
from torch_geometric.nn import HGTConv, Linear

from drin_pyg import DRINConv

NODE_TYPES = ['user', 'movie']


class Sandwich(torch.nn.Module):
    """HGT, a layer in the middle, HGT, then a classifier of users."""

    def __init__(self, weighted: bool, hidden_channels: int = 32):
        super().__init__()
        self.encoders = torch.nn.ModuleDict({t: Linear(-1, hidden_channels) for t in NODE_TYPES})
        self.first = HGTConv(hidden_channels, hidden_channels, (NODE_TYPES, [RATES, RATED, LIKE]), heads=2)
        self.middle = HGTConv(hidden_channels, hidden_channels, (NODE_TYPES, [RATES, RATED, LIKE]), heads=2)
        if weighted:  # HGT reads no weight, so none is updated for it
            self.middle = DRINConv(hidden_channels, hidden_channels, (NODE_TYPES, [RATES, LIKE]), out_edge_types=[])
        self.last = HGTConv(hidden_channels, hidden_channels, (NODE_TYPES, [RATED]), heads=2)
        self.lin = Linear(hidden_channels, 2)

    def forward(self, x_dict, edge_index_dict, edge_weight_dict):
        x_dict = {t: encoder(x_dict[t]).relu() for t, encoder in self.encoders.items()}
        x_dict = self.first(x_dict, edge_index_dict)
        if isinstance(self.middle, DRINConv):
            x_dict, _ = self.middle(x_dict, edge_index_dict, edge_weight_dict)
        else:
            x_dict = self.middle(x_dict, edge_index_dict)
        return self.lin(self.last(x_dict, {RATED: edge_index_dict[RATED]})['user'])


def run(seed: int = 0) -> dict[str, float]:
    """Accuracy with DRINConv in the middle, and with a third HGT layer."""
    data, accuracy = add_reverse(make_graph()), {}
    for name, weighted in (('HGT, DRINConv, HGT', True), ('HGT, HGT, HGT', False)):
        torch.manual_seed(seed)
        accuracy[name] = fit(Sandwich(weighted), data)
    return accuracy


if __name__ == '__main__':
    show(run())
