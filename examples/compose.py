r"""DRIN's layers inside a model of your own, on a graph that has nothing to do with entity linking.

Users rate movies, movies resemble movies. Every rating and resemblance is an edge with a weight. The
model predicts a user's taste from the graph; its layers revise the weights on the way.
"""

import torch
from torch_geometric.data import HeteroData
from torch_geometric.nn import HeteroConv, Linear

from drin_pyg import DRINConv, RelationConv

RATES, RATED, LIKE = ('user', 'rates', 'movie'), ('movie', 'rated_by', 'user'), ('movie', 'resembles', 'movie')


def make_graph(num_users: int = 200, num_movies: int = 100) -> HeteroData:
    """Users and movies of two genres; users mostly rate their own genre, and a third of ratings is noise."""
    generator = torch.Generator().manual_seed(0)
    taste = torch.randint(2, (num_users, ), generator=generator)
    genre = torch.randint(2, (num_movies, ), generator=generator)
    data = HeteroData()
    data['user'].x = torch.randn(num_users, 16, generator=generator)
    data['user'].y = taste
    data['movie'].x = torch.randn(num_movies, 24, generator=generator) + genre.unsqueeze(1)
    user = torch.arange(num_users).repeat_interleave(9)
    movie = torch.randint(num_movies, (user.numel(), ), generator=generator)
    own = torch.rand(user.numel(), generator=generator) < 0.67
    keep = ~own | (genre[movie] == taste[user])
    data[RATES].edge_index = torch.stack([user, movie])[:, keep]
    data[RATES].edge_weight = torch.rand(int(keep.sum()), generator=generator)
    data[LIKE].edge_index = torch.randint(num_movies, (2, 300), generator=generator)
    data[LIKE].edge_weight = (genre[data[LIKE].edge_index[0]] == genre[data[LIKE].edge_index[1]]).float()
    return data


class DynamicNet(torch.nn.Module):
    """Two dynamic layers for the graph's own metadata, then a classifier of users."""

    def __init__(self, metadata, hidden_channels: int = 32):
        super().__init__()
        self.encoders = torch.nn.ModuleDict({t: Linear(-1, hidden_channels) for t in metadata[0]})
        # The classifier reads users only, so the last layer computes them and nothing else, and the
        # first layer updates the one kind of edge that the last one reads.
        self.conv1 = DRINConv(hidden_channels, hidden_channels, metadata, shared=False, out_edge_types=[RATES])
        self.conv2 = DRINConv(hidden_channels, hidden_channels, (metadata[0], [RATES]), shared=False,
                              out_node_types=['user'], out_edge_types=[])
        self.lin = Linear(hidden_channels, 2)

    def forward(self, x_dict, edge_index_dict, edge_weight_dict):
        x_dict = {t: encoder(x_dict[t]) for t, encoder in self.encoders.items()}
        x_dict, edge_weight_dict = self.conv1(x_dict, edge_index_dict, edge_weight_dict)
        x_dict, _ = self.conv2(x_dict, edge_index_dict, edge_weight_dict)
        return self.lin(x_dict['user'])


def main() -> None:
    """Trains the model and prints its accuracy; then one RelationConv inside HeteroConv."""
    data = make_graph()
    torch.manual_seed(0)
    model = DynamicNet(data.metadata())
    arguments = data.x_dict, data.edge_index_dict, data.edge_weight_dict
    model(*arguments)  # lazy sizes
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    train = torch.arange(200) < 100
    for _ in range(60):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(*arguments)[train], data['user'].y[train])
        loss.backward()
        optimizer.step()
    model.eval()
    accuracy = (model(*arguments).argmax(-1) == data['user'].y)[~train].float().mean()
    print(f'Accuracy on users that were not trained on: {accuracy:.2f}')

    conv = HeteroConv({LIKE: RelationConv(), RATES: RelationConv(), RATED: RelationConv()})
    data[RATED].edge_index, data[RATED].edge_weight = data[RATES].edge_index.flip([0]), data[RATES].edge_weight
    x_dict = {'user': torch.ones(200, 8), 'movie': torch.ones(100, 8)}
    out_dict = conv(x_dict, data.edge_index_dict, edge_weight_dict=data.edge_weight_dict)
    print('HeteroConv:', {t: tuple(x.shape) for t, x in out_dict.items()})


if __name__ == '__main__':
    main()
