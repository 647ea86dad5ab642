r"""`RelationConv` in `HeteroConv`: one conv per relation, each with the weights of its edges, in PyG's own container.

`RelationConv` is DRIN's vertex rule for ONE relation, a weighted mean. It has no parameters: the Linear beside it
is yours, and so is the choice of convs for the other relations (here `SAGEConv`, which sees no weights).
"""

import torch
from compose import LIKE, RATED, RATES, add_reverse, fit, make_graph, show
from torch_geometric.nn import HeteroConv, Linear, SAGEConv

from drin_pyg import RelationConv


class HeteroNet(torch.nn.Module):
    """Two layers in which every vertex hears its neighbours in each relation, then a classifier of users."""

    def __init__(self, weighted: bool, hidden_channels: int = 32):
        super().__init__()

        def conv():
            return RelationConv() if weighted else SAGEConv(hidden_channels, hidden_channels)

        self.weighted = weighted
        self.encoders = torch.nn.ModuleDict({t: Linear(-1, hidden_channels) for t in ('user', 'movie')})
        self.convs = torch.nn.ModuleList(HeteroConv({e: conv() for e in (LIKE, RATES, RATED)}) for _ in range(2))
        self.lins = torch.nn.ModuleList([Linear(hidden_channels, hidden_channels), Linear(hidden_channels, 2)])

    def forward(self, x_dict, edge_index_dict, edge_weight_dict):
        # HeteroConv gives each conv what its edge type has in a `..._dict` argument; SAGEConv would refuse a weight.
        weights = {'edge_weight_dict': edge_weight_dict} if self.weighted else {}
        x_dict = {t: encoder(x_dict[t]) for t, encoder in self.encoders.items()}
        for conv, lin in zip(self.convs, self.lins, strict=True):
            heard = conv(x_dict, edge_index_dict, **weights)
            x_dict = {t: lin((x + heard[t]).relu()) for t, x in x_dict.items()}
        return x_dict['user']


def run(seed: int = 0) -> dict[str, float]:
    """Accuracy with weighted and with unweighted messages."""
    data, accuracy = add_reverse(make_graph()), {}
    for name, weighted in (('HeteroConv of RelationConv', True), ('HeteroConv of SAGEConv', False)):
        torch.manual_seed(seed)
        accuracy[name] = fit(HeteroNet(weighted), data)
    return accuracy


if __name__ == '__main__':
    show(run())
