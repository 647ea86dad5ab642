r"""DRIN's layers inside a model of your own, on a graph that has nothing to do with entity linking.

Users rate movies, movies resemble movies. Every rating and resemblance is an edge with a weight. The
model predicts a user's taste from the graph; its layers revise the weights on the way. The other examples
put the layers into other models on this graph.
"""

import torch
import torch.nn.functional as F
from torch_geometric.data import HeteroData
from torch_geometric.nn import Linear

from drin_pyg import DRINConv

RATES, RATED, LIKE = ('user', 'rates', 'movie'), ('movie', 'rated_by', 'user'), ('movie', 'resembles', 'movie')


def make_graph(num_users: int = 400, num_movies: int = 100) -> HeteroData:
    """Users and movies of two genres. Users rate anything, their own genre a little higher; features of users say
    nothing about them, those of movies a little."""
    generator = torch.Generator().manual_seed(0)
    taste = torch.randint(2, (num_users, ), generator=generator)
    genre = torch.randint(2, (num_movies, ), generator=generator)
    data = HeteroData()
    data['user'].x = torch.randn(num_users, 16, generator=generator)
    data['user'].y = taste
    data['user'].train_mask = torch.arange(num_users) < num_users // 2
    data['movie'].x = torch.randn(num_movies, 24, generator=generator) + 0.5 * genre.unsqueeze(1)
    data['movie'].y = genre
    user = torch.arange(num_users).repeat_interleave(8)
    movie = torch.randint(num_movies, (user.numel(), ), generator=generator)
    data[RATES].edge_index = torch.stack([user, movie])
    data[RATES].edge_weight = 0.6 * torch.rand(user.numel(), generator=generator) + 0.4 * (genre[movie] == taste[user])
    data[LIKE].edge_index = torch.randint(num_movies, (2, 600), generator=generator)
    data[LIKE].edge_weight = (genre[data[LIKE].edge_index[0]] == genre[data[LIKE].edge_index[1]]).float()
    return data


def add_reverse(data: HeteroData) -> HeteroData:
    """Ratings in the other direction, for layers whose messages go one way."""
    data[RATED].edge_index, data[RATED].edge_weight = data[RATES].edge_index.flip([0]), data[RATES].edge_weight
    return data


class DynamicNet(torch.nn.Module):
    """Two dynamic layers for the graph's own metadata, then a classifier of users."""

    def __init__(self, metadata, hidden_channels: int = 32, dynamic: bool = True):
        super().__init__()
        self.encoders = torch.nn.ModuleDict({t: Linear(-1, hidden_channels) for t in metadata[0]})
        # The classifier reads users only, so the last layer computes them and nothing else, and the
        # first layer updates the one kind of edge that the last one reads.
        self.conv1 = DRINConv(hidden_channels, hidden_channels, metadata, shared=False, dynamic=dynamic,
                              out_edge_types=[RATES])
        self.conv2 = DRINConv(hidden_channels, hidden_channels, (metadata[0], [RATES]), shared=False, dynamic=dynamic,
                              out_node_types=['user'], out_edge_types=[])
        self.lin = Linear(hidden_channels, 2)

    def forward(self, x_dict, edge_index_dict, edge_weight_dict):
        x_dict = {t: encoder(x_dict[t]) for t, encoder in self.encoders.items()}
        x_dict, edge_weight_dict = self.conv1(x_dict, edge_index_dict, edge_weight_dict)
        x_dict, _ = self.conv2(x_dict, edge_index_dict, edge_weight_dict)
        return self.lin(x_dict['user'])


def graph_args(data: HeteroData) -> tuple:
    """What the models of the examples take."""
    return data.x_dict, data.edge_index_dict, data.edge_weight_dict


def fit(model: torch.nn.Module, data: HeteroData, epochs: int = 60) -> float:
    """Trains on half of the users; the accuracy on the others."""
    args, y, train = graph_args(data), data['user'].y, data['user'].train_mask
    model(*args)  # lazy sizes
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, weight_decay=1e-3)
    for _ in range(epochs):
        optimizer.zero_grad()
        F.cross_entropy(model(*args)[train], y[train]).backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        return float((model(*args).argmax(-1) == y)[~train].float().mean())


def run(seed: int = 0) -> dict[str, float]:
    """Accuracy of the dynamic layers, and of what they should beat."""
    data = make_graph()
    torch.manual_seed(seed)
    accuracy = {'dynamic layers': fit(DynamicNet(data.metadata()), data)}
    torch.manual_seed(seed)
    accuracy['static layers'] = fit(DynamicNet(data.metadata(), dynamic=False), data)
    blind = make_graph()
    for edge_type in (RATES, LIKE):
        blind[edge_type].edge_weight = torch.ones_like(blind[edge_type].edge_weight)
    torch.manual_seed(seed)
    accuracy['dynamic layers, weights hidden'] = fit(DynamicNet(data.metadata()), blind)
    accuracy['most frequent taste'] = float(data['user'].y[~data['user'].train_mask].float().mean())
    accuracy['most frequent taste'] = max(accuracy['most frequent taste'], 1 - accuracy['most frequent taste'])
    return accuracy


def show(figures: dict[str, float]) -> None:
    """Prints accuracies."""
    print('Accuracy on users that were not trained on')
    for name, accuracy in figures.items():
        print(f'  {name:<32}{accuracy:.2f}')


if __name__ == '__main__':
    show(run())
