r"""`DRINConv` in `torch_geometric.nn.Sequential`: a model without a class of its own.

A layer gives two dictionaries, vertices and edge weights, and `Sequential` passes both on by name. The first vertex
Linear comes from PyG's `HeteroDictLinear`, the classifier reads one entry.
"""

import torch
from compose import LIKE, RATES, fit, make_graph, show
from torch_geometric.nn import HeteroDictLinear, Linear, Sequential

from drin_pyg import DRINConv

NODE_TYPES = ['user', 'movie']


def make_model(hidden_channels: int = 32, num_layers: int = 2) -> torch.nn.Module:
    """Encoders, dynamic layers, classifier of users."""
    names = 'x_dict, edge_index_dict, edge_weight_dict'
    layers = [(HeteroDictLinear({'user': 16, 'movie': 24}, hidden_channels), 'x_dict -> x_dict')]
    # Users are read in the end, and hear movies through ratings alone; an edge is updated for the next layer.
    read = [[RATES, LIKE]] * (num_layers - 1) + [[RATES], []]
    for depth in range(num_layers):
        conv = DRINConv(hidden_channels, hidden_channels, (NODE_TYPES, read[depth]), out_edge_types=read[depth + 1],
                        out_node_types=NODE_TYPES if depth < num_layers - 1 else ['user'])
        layers.append((conv, f'{names} -> x_dict, edge_weight_dict'))
    return Sequential(names, [*layers, (lambda x_dict: x_dict['user'], 'x_dict -> x'), Linear(hidden_channels, 2)])


def run(seed: int = 0) -> dict[str, float]:
    """Accuracy by number of layers; 0 layers see the features alone."""
    data, accuracy = make_graph(), {}
    torch.manual_seed(seed)
    accuracy['Sequential of two DRINConv'] = fit(make_model(), data)
    torch.manual_seed(seed)
    features = Sequential('x_dict, edge_index_dict, edge_weight_dict', [
        (HeteroDictLinear({'user': 16}, 32), 'x_dict -> x_dict'),
        (lambda x_dict: x_dict['user'], 'x_dict -> x'),
        torch.nn.ReLU(),
        Linear(32, 2),
    ])
    accuracy['features alone'] = fit(features, data)
    return accuracy


if __name__ == '__main__':
    show(run())
